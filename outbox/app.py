"""The composition root: the one place that knows every part, and puts a process together from its settings."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp.web import RouteDef

from outbox.admin.http import AdminServer
from outbox.admin.payloads import PayloadEndpoint
from outbox.app_intake import IntakePart, senders
from outbox.app_relay import RelayPart
from outbox.config.settings import Flow, Settings
from outbox.flow.mapping import Mapping
from outbox.flow.mapping_rules import rules_of
from outbox.flow.reconciler import Reconciler
from outbox.inbox.accept import Acceptor, AcceptorSettings
from outbox.inbox.apply import Applier, ApplierSettings
from outbox.inbox.dead import DeadLetterPublisher
from outbox.inbox.lanes import Ownership
from outbox.inbox.prune import Pruner
from outbox.model.adapter import Adapter
from outbox.model.errors import ExitCode, Misconfigured
from outbox.model.lifecycle import Lifecycle, Report
from outbox.postgres.inbox_store import InboxStore
from outbox.postgres.payload_store import PayloadStore
from outbox.postgres.prune import PruneStore
from outbox.postgres.reconcile import ReconcileStore
from outbox.rabbitmq.dead_queue import DeadQueue
from outbox.rabbitmq.publisher import RabbitBroker, Sending
from outbox.rabbitmq.subscription import RabbitConsumer
from outbox.supervisor import Service, Supervisor
from outbox.telemetry.logs import LifecycleLog
from outbox.telemetry.metrics import Metrics
from outbox.wiring import lanes, postgres_server
from outbox.wiring_contracts import contract_gate
from outbox.wiring_rabbitmq import rabbit_server, routes_of
from outbox.wiring_reconcile import owner_of, schedule_of, subject_of
from outbox.wiring_targets import adapters_of
from outbox.wiring_versions import casts_of

# Fixed for good when a flow is first consumed: how finely its keys can be spread over processes.
LANES_PER_FLOW = 16


@dataclass(frozen=True, slots=True)
class Roles:
    """What a process does. ``is_draining``: the relay ends once everything committed is confirmed."""

    is_relay: bool = False
    is_consumer: bool = False
    is_intake: bool = False
    is_draining: bool = False

    def name(self) -> str:
        """Return how logs and the broker's tools call this process."""
        if self.is_relay and self.is_consumer:
            return "outbox"
        if self.is_relay:
            return "outbox-relay"
        return "outbox-consume" if self.is_consumer else "outbox-intake"


class App:
    """One process, ready to run."""

    def __init__(self, settings: Settings, roles: Roles) -> None:
        self._settings = settings
        self._roles = roles
        log = LifecycleLog(roles.name())
        self.metrics = metrics = Metrics(
            lanes=lanes(settings) if roles.is_relay else (),
            flows=settings.flows if roles.is_consumer else (),
            senders=senders(settings.intake) if roles.is_intake else (),
        )
        self._listeners: list[Report] = [log, metrics]
        self._adapters: dict[str, Adapter] = adapters_of(settings) if roles.is_consumer else {}
        self.admin = AdminServer(settings.http.host, settings.http.port, metrics, _payload_routes(settings))
        services: list[Service] = []
        if roles.is_relay:
            part = self._relay_part()
            self._listeners += part.listeners
            services += part.services
            self.admin.needs(part.is_moving, "events wait and nothing is published")
        if roles.is_consumer:
            for name, flow in settings.flows.items():
                services += self._flow(name, flow)
            memory = PruneStore(postgres_server(settings, name="outbox-forget"))
            pruner = Pruner(memory, keep_seconds=settings.remembered_seconds(), report=self._report)
            services.append(Service("forget", pruner.run))
        self.intake: IntakePart | None = None
        if roles.is_intake:
            self.intake = IntakePart(settings, check=_contract_check(settings), report=self._report)
            services += self.intake.services
        if not roles.is_draining:
            # Draining is one job, often run beside a relay that has the port.
            services.append(Service("http", self.admin.run))
        self.supervisor = Supervisor(services, grace_seconds=settings.drain, report=self._report)
        self.admin.watch(self.supervisor.pulses)

    async def run(self) -> ExitCode:
        """Run until stopped; see `Supervisor.run`."""
        try:
            return await self.supervisor.run()
        finally:
            for adapter in self._adapters.values():
                await adapter.close()

    def _report(self, event: Lifecycle) -> None:
        for listener in self._listeners:
            listener(event)

    def _relay_part(self) -> RelayPart:
        return RelayPart(self._settings, is_draining=self._roles.is_draining, report=self._report)

    def _flow(self, name: str, flow: Flow) -> list[Service]:
        settings = self._settings
        store = InboxStore(postgres_server(settings, name=f"outbox-consume {name}"[:63]), flow.policy())
        ownership = Ownership(f"{socket.gethostname()}:{os.getpid()}")
        applier = Applier(
            name,
            store,
            self._adapters[name],
            _mapping(name, flow),
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
            ),
            self._report,
        )
        acceptor = Acceptor(
            name,
            store,
            RabbitConsumer(
                rabbit_server(settings),
                routes_of(settings, name),
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
        self.admin.needs(lambda: not acceptor.is_silent, f"messages of {name} wait and none is delivered")
        dead = DeadLetterPublisher(
            name,
            store,
            self._broker(f"outbox-dead {name}", name),
            DeadQueue(rabbit_server(settings), name),
            ownership,
            self._report,
        )
        return [
            Service(f"accept {name}", acceptor.run),
            Service(f"apply {name}", applier.run),
            Service(f"dead letters {name}", dead.run),
            *self._reconciler(name, flow),
        ]

    def _reconciler(self, name: str, flow: Flow) -> list[Service]:
        if flow.reconcile is None:
            return []
        reconciler = Reconciler(
            subject_of(name, flow),
            schedule_of(flow.reconcile),
            ReconcileStore(postgres_server(self._settings, name=f"outbox-reconcile {name}"[:63])),
            self._adapters[name],
            owner_of(flow),
            self._report,
        )
        return [Service(f"reconcile {name}", reconciler.run)]

    def _broker(self, name: str, flow: str | None) -> RabbitBroker:
        return RabbitBroker(
            rabbit_server(self._settings),
            routes_of(self._settings, flow),
            source=self._settings.relay.source,
            name=name,
            report=self._report,
            sending=Sending(self._settings.relay.publisher, channels=1),
            lanes=self._settings.relay.lanes,
        )


def _payload_routes(settings: Settings) -> list[RouteDef]:
    if settings.http.payload_token is None:
        return []
    store = PayloadStore(postgres_server(settings, name="outbox-payloads"))
    return PayloadEndpoint(store, settings.http.payload_token.get_secret_value()).routes()


def _contract_check(settings: Settings) -> Callable[[str, int, bytes], str | None]:
    """Return the contracts' word about a payload from outside: what is wrong with it, or None."""
    gate = contract_gate(settings)
    return gate.complaint if gate is not None else lambda _event_type, _version, _payload: None


def _mapping(name: str, flow: Flow) -> Mapping:
    mapping = Mapping.compile(rules_of(flow.mapping))
    if mapping.has_references():
        # Each of its events would become a dead letter.
        raise Misconfigured(
            f"flows.{name}.mapping has an xref, and this version does not look up ids of other systems",
            "use a table, or take the rule out",
        )
    return mapping
