"""Puts together the flows of a process, each from its settings, and lets them come and go while the rest runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.http_target import HttpTarget
from outbox.admin.http import AdminServer
from outbox.config.difference import Difference
from outbox.config.settings import Settings
from outbox.flow.mapping import Mapping
from outbox.flow.mapping_rules import rules_of
from outbox.flow.reconciler import Reconciler
from outbox.inbox.accept import Acceptor, AcceptorSettings
from outbox.inbox.apply import Applier, ApplierSettings
from outbox.inbox.dead import DeadLetterPublisher
from outbox.inbox.lanes import Ownership
from outbox.model.adapter import Adapter
from outbox.model.lifecycle import Report
from outbox.model.settings_events import FlowStarted, FlowStopped
from outbox.postgres.inbox_store import InboxStore
from outbox.postgres.reconcile import ReconcileStore
from outbox.rabbitmq.dead_queue import DeadQueue
from outbox.rabbitmq.desired import FlowRoute, Mode
from outbox.rabbitmq.publisher import RabbitBroker, Sending
from outbox.rabbitmq.subscription import RabbitConsumer
from outbox.supervisor import Pulse, Service, Supervisor
from outbox.wiring import postgres_server
from outbox.wiring_rabbitmq import rabbit_server, routes, routes_of
from outbox.wiring_reconcile import owner_of, schedule_of, subject_of
from outbox.wiring_targets import adapter_of, targets_of
from outbox.wiring_versions import casts_of
from outbox.wiring_waits import waits_of

# Fixed for good when a flow is first consumed: how finely its keys can be spread over processes.
LANES_PER_FLOW = 16


@dataclass(frozen=True, slots=True)
class _Part:
    """What one flow is made of."""

    services: tuple[Service, ...]
    acceptor: Acceptor


class Flows:
    """The flows that a process consumes."""

    def __init__(self, settings: Settings, admin: AdminServer, report: Report) -> None:
        self._admin = admin
        self._report = report
        # Who a flow's lanes belong to outlives its services: what they did not settle is taken back at once.
        self._ownerships: dict[str, Ownership] = {}
        # One list for all: a flow that connects again must not declare what others were before.
        self._routes: list[FlowRoute] = [*routes(settings)]
        self._targets: dict[str, HttpTarget] = targets_of(settings, {})
        self._left: list[HttpTarget] = []
        self._parts = {name: self._part(settings, self._targets, name) for name in settings.flows}
        for name in self._parts:
            self._watch(name)

    def services(self) -> list[Service]:
        """Return the services of all flows, for a process that starts."""
        return [service for part in self._parts.values() for service in part.services]

    async def take_up(self, settings: Settings, change: Difference, supervisor: Supervisor, pulse: Pulse) -> None:
        """Drain what is removed or changed, and start what is changed or added, flow by flow; nobody else notices.

        Raises:
            OutboxError: a flow cannot be put together; then nothing was stopped.
        """
        known = self._targets
        targets = targets_of(settings, known)
        parts = {name: self._part(settings, targets, name) for name in (*change.changed, *change.added)}
        self._routes[:] = routes(settings)
        self._targets = targets
        self._left += [target for name, target in known.items() if targets.get(name) is not target]
        for name in change.removed:
            await self._stop(name, supervisor, pulse, is_removed=True)
        for name in change.changed:
            await self._stop(name, supervisor, pulse, is_removed=False)
            self._start(name, parts[name], supervisor)
        for name in change.added:
            self._start(name, parts[name], supervisor)
        while self._left:
            await self._left.pop().close()

    async def close(self) -> None:
        """Close the connections to the targets."""
        for target in (*self._targets.values(), *self._left):
            await target.close()

    async def _stop(self, name: str, supervisor: Supervisor, pulse: Pulse, *, is_removed: bool) -> None:
        part = self._parts.pop(name)
        self._admin.needs_no_more(_silence(name))
        is_drained = await supervisor.retire([service.name for service in part.services], pulse)
        self._report(FlowStopped(name, is_removed, is_drained))

    def _start(self, name: str, part: _Part, supervisor: Supervisor) -> None:
        self._parts[name] = part
        self._watch(name)
        self._report(FlowStarted(name))
        supervisor.add(part.services)

    def _watch(self, name: str) -> None:
        acceptor = self._parts[name].acceptor
        self._admin.needs(lambda: not acceptor.is_silent, _silence(name))

    def _part(self, settings: Settings, targets: dict[str, HttpTarget], name: str) -> _Part:
        flow = settings.flows[name]
        ownership = self._ownerships.setdefault(name, Ownership(f"{socket.gethostname()}:{os.getpid()}"))
        store = InboxStore(postgres_server(settings, name=f"outbox-consume {name}"[:63]), flow.policy())
        adapter = adapter_of(flow, targets)
        applier = self._applier(settings, name, store, adapter, ownership)
        flow_routes = self._routes_of(settings, name)
        acceptor = Acceptor(
            name,
            store,
            RabbitConsumer(
                rabbit_server(settings),
                flow_routes,
                prefetch=settings.rabbitmq.prefetch,
                name="outbox-consume",
                report=self._report,
            ),
            AcceptorSettings(
                lanes=LANES_PER_FLOW,
                max_batch=settings.inbox.accept_batch,
                max_waiting=settings.inbox.max_waiting,
                silent_after_seconds=settings.inbox.silent_after,
            ),
            report=self._report,
            on_accepted=applier.wake,
        )
        dead = DeadLetterPublisher(
            name,
            store,
            self._broker(settings, f"outbox-dead {name}", flow_routes),
            DeadQueue(rabbit_server(settings), name),
            ownership,
            self._report,
        )
        services = (
            Service(f"accept {name}", acceptor.run),
            Service(f"apply {name}", applier.run),
            Service(f"dead letters {name}", dead.run),
            *self._reconciler(settings, name, adapter),
        )
        return _Part(services, acceptor)

    def _reconciler(self, settings: Settings, name: str, adapter: Adapter) -> list[Service]:
        flow = settings.flows[name]
        if flow.reconcile is None:
            return []
        reconciler = Reconciler(
            subject_of(name, flow),
            schedule_of(flow.reconcile),
            ReconcileStore(postgres_server(settings, name=f"outbox-reconcile {name}"[:63])),
            adapter,
            owner_of(flow),
            self._report,
        )
        return [Service(f"reconcile {name}", reconciler.run)]

    def _applier(
        self, settings: Settings, name: str, store: InboxStore, adapter: Adapter, ownership: Ownership
    ) -> Applier:
        flow = settings.flows[name]
        mapping = Mapping.compile(rules_of(flow.mapping))
        return Applier(
            name,
            store,
            adapter,
            mapping,
            ownership,
            ApplierSettings(
                lanes=LANES_PER_FLOW,
                lease_seconds=settings.inbox.lease,
                # A call that waits for a connection would be written as under way while nothing is.
                concurrency=min(
                    settings.inbox.concurrency, settings.connections[flow.adapter.connection].max_connections
                ),
                poll_seconds=settings.inbox.poll,
                observe_every_seconds=settings.inbox.observe_every,
                policy=flow.retry.policy(),
                rate_per_second=flow.rate_limit,
                promise=flow.promise(),
                cast=casts_of(settings, name),
                refers=mapping if mapping.has_references() else None,
                waits=waits_of(settings, name, mapping),
            ),
            self._report,
        )

    def _routes_of(self, settings: Settings, name: str) -> Sequence[FlowRoute]:
        """Return what a flow's connections see to; see `routes_of`."""
        return self._routes if Mode(settings.rabbitmq.topology) is Mode.ARGUMENTS else routes_of(settings, name)

    def _broker(self, settings: Settings, name: str, flow_routes: Sequence[FlowRoute]) -> RabbitBroker:
        return RabbitBroker(
            rabbit_server(settings),
            flow_routes,
            source=settings.relay.source,
            name=name,
            report=self._report,
            sending=Sending(settings.relay.publisher, channels=1),
            lanes=settings.relay.lanes,
        )


def _silence(name: str) -> str:
    return f"messages of {name} wait and none is delivered"
