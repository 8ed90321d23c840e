"""Puts together the part of a process that publishes: a relay for each lane, who shares them, the watch, the upkeep."""

from __future__ import annotations

from dataclasses import replace

from outbox.config.settings import Settings
from outbox.model.backoff import Backoff
from outbox.model.lanes import KEEPER, Lane
from outbox.model.lifecycle import Lifecycle, PublishingBlocked, PublishingUnblocked, Report
from outbox.postgres.lane_store import LaneStore
from outbox.postgres.outbox_store import OutboxStore
from outbox.postgres.partition_store import PartitionStore
from outbox.rabbitmq.publisher import RabbitBroker, Sending
from outbox.relay.lanes import LaneKeeper, LaneRelay
from outbox.relay.leader import RelaySettings
from outbox.relay.loop import Relay
from outbox.relay.partitions import PartitionKeeper
from outbox.relay.watch import Watch, Watched, WatchSettings
from outbox.supervisor import Service
from outbox.wiring import STREAM, direct_server, lanes, postgres_server, retention
from outbox.wiring_contracts import contract_gate
from outbox.wiring_rabbitmq import rabbit_server, routes_of

# How long a lane rests here that could not be led, in looks: several times what the others need to take it.
_REST_LOOKS, _LONGEST_REST_LOOKS = 20, 300


class RelayPart:
    """The services of a process that publishes, and who listens to them."""

    def __init__(self, settings: Settings, *, is_draining: bool, report: Report) -> None:
        self._settings = settings
        self._is_draining = is_draining
        self._report = report
        self._contracts = contract_gate(settings)
        self.listeners: list[Report] = []
        self._routes = [*routes_of(settings, None)]
        self._broker = RabbitBroker(
            rabbit_server(settings),
            self._routes,
            source=settings.relay.source,
            name="outbox-relay",
            report=report,
            sending=Sending(
                settings.relay.publisher, settings.relay.channels, has_claim_check=settings.relay.claim_check.enabled
            ),
            lanes=settings.relay.lanes,
        )
        relays = {lane: self._relay(lane) for lane in lanes(settings)}
        self._watch = self._watch_over(relays)
        if is_draining:
            # Each of them waits for what others lead, as one would.
            self.services = [Service(lane.service, relay.run, ends_process=True) for lane, relay in relays.items()]
            return
        self.listeners.append(self._watch.hear)
        self.services = [
            *(self._shared(relays) if len(relays) > 1 else [Service(one.service, relays[one].run) for one in relays]),
            Service("watch", self._watch.run),
            Service("partitions", self._partition_keeper().run),
        ]

    def take_up(self, settings: Settings) -> None:
        """Declare from the next connection on what the flows of these settings need."""
        self._routes[:] = routes_of(settings, None)

    def is_moving(self) -> bool:
        """Say whether no lane stands still without a known reason."""
        return not self._watch.is_stalled

    def _shared(self, relays: dict[Lane, Relay]) -> list[Service]:
        settings = self._settings.relay
        rest = Backoff(_REST_LOOKS * settings.standby_poll, _LONGEST_REST_LOOKS * settings.standby_poll)
        of_lanes = [LaneRelay(lane, relay, self._report, rest=rest) for lane, relay in relays.items()]
        keeper = LaneKeeper(
            LaneStore(
                direct_server(self._settings, name="outbox-lanes"),
                stream=STREAM,
                lanes=settings.lanes,
                lease_seconds=settings.lease,
            ),
            self._broker,
            of_lanes,
            look_every_seconds=settings.standby_poll,
            report=self._report,
        )
        self.listeners.append(keeper.hear)
        return [Service(KEEPER, keeper.run), *(Service(one.lane.service, one.run) for one in of_lanes)]

    def _relay(self, lane: Lane) -> Relay:
        relay = self._settings.relay

        def report(event: Lifecycle) -> None:
            # Each lane has a connection of its own: which of them the broker blocks is known here.
            if isinstance(event, PublishingBlocked | PublishingUnblocked):
                event = replace(event, stream=lane.stream)
            self._report(event)

        return Relay(
            self._outbox(lane, f"outbox-{lane.service}"),
            self._broker.for_lane(lane.number, report),
            RelaySettings(
                limits=self._settings.page_limits(),
                poll_busy_seconds=relay.poll_busy,
                poll_idle_seconds=relay.poll_idle,
                save_every_seconds=relay.save_every,
                standby_poll_seconds=relay.standby_poll,
                is_draining=self._is_draining,
                contracts=self._contracts,
            ),
            self._report,
        )

    def _watch_over(self, relays: dict[Lane, Relay]) -> Watch:
        settings = self._settings.relay
        return Watch(
            self._outbox(next(iter(relays)), "outbox-watch"),
            WatchSettings(settings.watch_every, settings.stalled_after),
            [Watched(lane.stream, (lane.service, KEEPER), relay.reconnect) for lane, relay in relays.items()],
            self._report,
        )

    def _outbox(self, lane: Lane, name: str) -> OutboxStore:
        return OutboxStore(
            direct_server(self._settings, name=name),
            self._settings.page_limits(),
            lane=lane,
            lease_seconds=self._settings.relay.lease,
        )

    def _partition_keeper(self) -> PartitionKeeper:
        return PartitionKeeper(
            PartitionStore(postgres_server(self._settings, name="outbox-partitions"), stream=STREAM),
            retention(self._settings),
            check_every_seconds=self._settings.retention.check_every,
            report=self._report,
        )
