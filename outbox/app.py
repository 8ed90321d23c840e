"""The composition root: the one place that knows every part, and puts a process together from its settings."""

from __future__ import annotations

import math
import os
import socket
from dataclasses import dataclass, replace

from aiohttp.web import RouteDef

from adapters.registry import ADAPTERS
from outbox.admin.http import AdminServer
from outbox.admin.payloads import PayloadEndpoint
from outbox.config.settings import Flow, Settings
from outbox.flow.mapping import FieldRule, Mapping
from outbox.inbox.accept import Acceptor
from outbox.inbox.apply import Applier, ApplierSettings
from outbox.inbox.dead import DeadLetterPublisher
from outbox.inbox.lanes import Ownership
from outbox.model.adapter import Adapter
from outbox.model.errors import ExitCode, Misconfigured
from outbox.model.lifecycle import Lifecycle, Report
from outbox.model.partitions import Retention
from outbox.postgres.connection import PostgresServer
from outbox.postgres.inbox_store import InboxStore
from outbox.postgres.outbox_store import OutboxStore
from outbox.postgres.partition_store import PartitionStore
from outbox.postgres.payload_store import PayloadStore
from outbox.rabbitmq.connection import RabbitServer
from outbox.rabbitmq.desired import FlowRoute, Mode
from outbox.rabbitmq.management import ManagementServer
from outbox.rabbitmq.publisher import RabbitBroker
from outbox.rabbitmq.subscription import RabbitConsumer
from outbox.rabbitmq.tls import Tls
from outbox.relay.loop import Relay, RelaySettings
from outbox.relay.partitions import PartitionKeeper
from outbox.relay.watch import Watch, WatchSettings
from outbox.supervisor import Service, Supervisor
from outbox.telemetry.logs import LifecycleLog
from outbox.telemetry.metrics import Metrics

STREAM = "outbox.event"
_RELAY = "relay"
# Fixed for good when a flow is first consumed: how finely its keys can be spread over processes.
LANES_PER_FLOW = 16


@dataclass(frozen=True, slots=True)
class Roles:
    """What a process does. ``is_draining``: the relay ends once everything committed is confirmed."""

    is_relay: bool = False
    is_consumer: bool = False
    is_draining: bool = False

    def name(self) -> str:
        """Return how logs and the broker's tools call this process."""
        if self.is_relay and self.is_consumer:
            return "outbox"
        return "outbox-relay" if self.is_relay else "outbox-consume"


def postgres_server(settings: Settings, *, name: str) -> PostgresServer:
    """Return where the database is."""
    return PostgresServer(
        settings.postgres.url.get_secret_value(),
        settings.postgres.connect_timeout,
        settings.postgres.statement_timeout,
        name,
    )


def direct_server(settings: Settings, *, name: str) -> PostgresServer:
    """Return the way to the database past a pooler, where there is one: for what needs a session of its own."""
    server = postgres_server(settings, name=name)
    url = settings.postgres.direct_url
    return server if url is None else replace(server, url=url.get_secret_value(), setting="postgres.direct_url")


def rabbit_server(settings: Settings) -> RabbitServer:
    """Return where the broker is."""
    rabbitmq = settings.rabbitmq
    return RabbitServer(
        rabbitmq.url.get_secret_value(),
        # The protocol has whole seconds; a shorter one than asked for would cut healthy connections.
        math.ceil(rabbitmq.heartbeat),
        rabbitmq.connect_timeout,
        rabbitmq.confirm_timeout,
        None if rabbitmq.tls is None else Tls(**rabbitmq.tls.model_dump()),
        Mode(rabbitmq.topology),
    )


def management_server(settings: Settings) -> ManagementServer | None:
    """Return where the management API is, if the settings say so."""
    url = settings.rabbitmq.management_url
    return None if url is None else ManagementServer.beside(rabbit_server(settings), url.get_secret_value())


def retention(settings: Settings) -> Retention:
    """Return how long published events stay."""
    chosen = settings.retention
    return Retention(chosen.keep, chosen.partition_every, chosen.ahead)


def routes(settings: Settings) -> tuple[FlowRoute, ...]:
    """Return which events reach which flow."""
    return tuple(FlowRoute(name, flow.events) for name, flow in settings.flows.items())


def _routes_of(settings: Settings, flow: str | None) -> tuple[FlowRoute, ...]:
    """Return what a process sees to: everything where it declares, else what it touches itself."""
    if Mode(settings.rabbitmq.topology) is Mode.ARGUMENTS:
        return routes(settings)
    return tuple(route for route in routes(settings) if route.flow == flow)


class App:
    """One process, ready to run."""

    def __init__(self, settings: Settings, roles: Roles) -> None:
        self._settings = settings
        self._roles = roles
        log = LifecycleLog(roles.name())
        metrics = Metrics(stream=STREAM if roles.is_relay else None, flows=settings.flows if roles.is_consumer else ())
        self._listeners: list[Report] = [log, metrics]
        self._adapters: list[Adapter] = []
        self.admin = AdminServer(settings.http.host, settings.http.port, metrics, _payload_routes(settings))
        services: list[Service] = []
        if roles.is_relay:
            relay = self._relay()
            services.append(Service(_RELAY, relay.run, ends_process=roles.is_draining))
            if not roles.is_draining:
                watch = self._watch(relay)
                self._listeners.append(watch.hear)
                self.admin.needs(lambda: not watch.is_stalled, "events wait and nothing is published")
                services.append(Service("watch", watch.run))
                services.append(Service("partitions", self._keeper().run))
        if roles.is_consumer:
            for name, flow in settings.flows.items():
                services += self._flow(name, flow)
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
            for adapter in self._adapters:
                await adapter.close()

    def _report(self, event: Lifecycle) -> None:
        for listener in self._listeners:
            listener(event)

    def _relay(self) -> Relay:
        relay = self._settings.relay
        return Relay(
            self._outbox("outbox-relay"),
            self._broker("outbox-relay", None),
            RelaySettings(
                limits=self._settings.page_limits(),
                poll_busy_seconds=relay.poll_busy,
                poll_idle_seconds=relay.poll_idle,
                save_every_seconds=relay.save_every,
                standby_poll_seconds=relay.standby_poll,
                is_draining=self._roles.is_draining,
            ),
            self._report,
        )

    def _watch(self, relay: Relay) -> Watch:
        settings = self._settings.relay
        return Watch(
            self._outbox("outbox-watch"),
            WatchSettings(settings.watch_every, settings.stalled_after),
            relay=_RELAY,
            reconnect=relay.reconnect,
            report=self._report,
        )

    def _outbox(self, name: str) -> OutboxStore:
        return OutboxStore(
            direct_server(self._settings, name=name),
            self._settings.page_limits(),
            stream=STREAM,
            lease_seconds=self._settings.relay.lease,
        )

    def _keeper(self) -> PartitionKeeper:
        return PartitionKeeper(
            PartitionStore(postgres_server(self._settings, name="outbox-partitions"), stream=STREAM),
            retention(self._settings),
            check_every_seconds=self._settings.retention.check_every,
            report=self._report,
        )

    def _flow(self, name: str, flow: Flow) -> list[Service]:
        settings = self._settings
        adapter = _adapter(settings, flow)
        self._adapters.append(adapter)
        store = InboxStore(postgres_server(settings, name=f"outbox-consume {name}"[:63]))
        ownership = Ownership(f"{socket.gethostname()}:{os.getpid()}")
        applier = Applier(
            name,
            store,
            adapter,
            _mapping(flow),
            ownership,
            ApplierSettings(
                lanes=LANES_PER_FLOW,
                lease_seconds=settings.inbox.lease,
                # A call that waits for a connection would be written as under way while nothing is.
                concurrency=min(
                    settings.inbox.concurrency, settings.connections[flow.adapter.connection].max_connections
                ),
                poll_seconds=settings.inbox.poll,
                policy=flow.retry.policy(),
            ),
            self._report,
        )
        acceptor = Acceptor(
            name,
            store,
            RabbitConsumer(
                rabbit_server(settings),
                _routes_of(settings, name),
                prefetch=settings.rabbitmq.prefetch,
                name="outbox-consume",
                report=self._report,
            ),
            lanes=LANES_PER_FLOW,
            max_batch=settings.inbox.accept_batch,
            report=self._report,
            on_accepted=applier.wake,
        )
        dead = DeadLetterPublisher(name, store, self._broker(f"outbox-dead {name}", name), ownership, self._report)
        return [
            Service(f"accept {name}", acceptor.run),
            Service(f"apply {name}", applier.run),
            Service(f"dead letters {name}", dead.run),
        ]

    def _broker(self, name: str, flow: str | None) -> RabbitBroker:
        return RabbitBroker(
            rabbit_server(self._settings),
            _routes_of(self._settings, flow),
            source=self._settings.relay.source,
            name=name,
            report=self._report,
            kind=self._settings.relay.publisher,
            has_claim_check=self._settings.relay.claim_check.enabled,
        )


def check_flows(settings: Settings) -> None:
    """Refuse settings under which every message of a type would become a dead letter.

    Raises:
        Misconfigured: with every flow and event type that its adapter has no operation for.
    """
    lost = [
        f"flows.{name}.events: {event_type} has no operation in flows.{name}.adapter"
        for name, flow in settings.flows.items()
        for adapter in [_adapter(settings, flow)]
        for event_type in flow.events
        if "*" not in event_type and "#" not in event_type and not adapter.supports(event_type)
    ]
    if lost:
        raise Misconfigured("\n".join(lost), "add the operations, or take the events out of the flow")


def _payload_routes(settings: Settings) -> list[RouteDef]:
    if settings.http.payload_token is None:
        return []
    store = PayloadStore(postgres_server(settings, name="outbox-payloads"))
    return PayloadEndpoint(store, settings.http.payload_token.get_secret_value()).routes()


def _adapter(settings: Settings, flow: Flow) -> Adapter:
    choice = flow.adapter
    return ADAPTERS[choice.use].build(choice.settings, settings.connections[choice.connection])


def _mapping(flow: Flow) -> Mapping:
    return Mapping.compile(
        FieldRule(field.source_field, field.target_field, field.default, field.has_default, field.required)
        for field in flow.mapping
    )
