"""The composition root: the one place that knows every part, and puts a process together from its settings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from aiohttp.web import RouteDef

from outbox.admin.http import AdminServer
from outbox.admin.payloads import PayloadEndpoint
from outbox.admin.presence import Presence
from outbox.app_alerts import AlertPart
from outbox.app_flows import Flows
from outbox.app_intake import IntakePart, senders
from outbox.app_relay import RelayPart
from outbox.app_reload import Reloader
from outbox.config.difference import Difference
from outbox.config.settings import Settings
from outbox.config.source import SettingsSource, settings_hash
from outbox.inbox.prune import Pruner
from outbox.model.errors import ExitCode, Misconfigured
from outbox.model.lifecycle import Lifecycle, Report
from outbox.model.settings_events import SettingsInEffect
from outbox.postgres.payload_store import PayloadStore
from outbox.postgres.processes import ProcessStore
from outbox.postgres.prune import PruneStore
from outbox.supervisor import Pulse, Service, Supervisor
from outbox.telemetry.logs import LifecycleLog
from outbox.telemetry.metrics import Metrics
from outbox.wiring import lanes, postgres_server
from outbox.wiring_contracts import contract_gate

_REFUSED = 'newer settings are refused and those before stay in effect; the log and "outbox status" say why'


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
    """One process, ready to run. With a ``source`` its settings are read again when they change."""

    def __init__(self, settings: Settings, roles: Roles, source: SettingsSource | None = None) -> None:
        self._settings = settings
        self._roles = roles
        log = LifecycleLog(roles.name())
        self.metrics = metrics = Metrics(
            lanes=lanes(settings) if roles.is_relay else (),
            flows=settings.flows if roles.is_consumer else (),
            senders=senders(settings.intake) if roles.is_intake else (),
            channels=() if roles.is_draining else settings.alerts.channels,
        )
        self._listeners: list[Report] = [log, metrics]
        self.admin = AdminServer(settings.http.host, settings.http.port, metrics, _payload_routes(settings))
        services: list[Service] = []
        self._relay = self._relay_part() if roles.is_relay else None
        if self._relay is not None:
            self._listeners += self._relay.listeners
            services += self._relay.services
            self.admin.needs(self._relay.is_moving, "events wait and nothing is published")
        self._flows = Flows(settings, self.admin, self._report) if roles.is_consumer else None
        if self._flows is not None:
            services += self._flows.services()
            memory = PruneStore(postgres_server(settings, name="outbox-forget"))
            pruner = Pruner(memory, keep_seconds=settings.remembered_seconds(), report=self._report)
            services.append(Service("forget", pruner.run))
        self.intake: IntakePart | None = None
        if roles.is_intake:
            self.intake = IntakePart(settings, check=_contract_check(settings), report=self._report)
            services += self.intake.services
        self._alerts: AlertPart | None = None
        if settings.alerts.channels and not roles.is_draining:
            self._alerts = AlertPart(settings, self._report)
            self._listeners.append(self._alerts.hear)
            services += self._alerts.services
        if not roles.is_draining:
            # Draining is one job, often run beside a relay that has the port.
            services += [Service("presence", self._presence().run), Service("http", self.admin.run)]
        self._reloader = None if source is None else Reloader(source, settings, self._take_up, self._report)
        if self._reloader is not None:
            services.append(Service("settings", self._reloader.run))
        self.supervisor = Supervisor(services, grace_seconds=settings.drain, report=self._report)
        self.admin.watch(self.supervisor.pulses)

    async def run(self) -> ExitCode:
        """Run until stopped; see `Supervisor.run`."""
        self._report(SettingsInEffect(settings_hash(self._settings)))
        try:
            with nullcontext() if self._reloader is None else self._reloader.on_hangup():
                return await self.supervisor.run()
        finally:
            if self._flows is not None:
                await self._flows.close()

    async def _take_up(self, settings: Settings, change: Difference, pulse: Pulse) -> None:
        if self._flows is not None and self._relay is None and not settings.flows:
            raise Misconfigured(
                "flows: none is left, and a consumer without flows does nothing",
                "stop this process, if that is what is meant",
            )
        if self._flows is not None:
            await self._flows.take_up(settings, change, self.supervisor, pulse)
        if self._relay is not None:
            self._relay.take_up(settings)
        if self._alerts is not None:
            self._alerts.take_up(settings)

    def _presence(self) -> Presence:
        store = ProcessStore(postgres_server(self._settings, name="outbox-presence"))
        presence = Presence(store, self._roles.name(), settings_hash(self._settings))
        self._listeners.append(presence.hear)
        self.admin.notices(lambda: None if presence.refusal is None else _REFUSED)
        return presence

    def _report(self, event: Lifecycle) -> None:
        for listener in self._listeners:
            listener(event)

    def _relay_part(self) -> RelayPart:
        return RelayPart(self._settings, is_draining=self._roles.is_draining, report=self._report)


def _payload_routes(settings: Settings) -> list[RouteDef]:
    if settings.http.payload_token is None:
        return []
    store = PayloadStore(postgres_server(settings, name="outbox-payloads"))
    return PayloadEndpoint(store, settings.http.payload_token.get_secret_value()).routes()


def _contract_check(settings: Settings) -> Callable[[str, int, bytes], str | None]:
    """Return the contracts' word about a payload from outside: what is wrong with it, or None."""
    gate = contract_gate(settings)
    return gate.complaint if gate is not None else lambda _event_type, _version, _payload: None
