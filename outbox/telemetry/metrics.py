"""Lifecycle events as Prometheus metrics: fixed names, no label that grows with the data, constant cost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from outbox.model import consumer_events, dead_copies, flow_events, lane_events, settings_events
from outbox.model import lifecycle as happened
from outbox.model.circuit import CircuitState
from outbox.model.dead_letters import PARKED
from outbox.model.delivery import State
from outbox.model.intake_events import IntakeEvents
from outbox.model.lanes import KEEPER, Lane
from outbox.model.lifecycle import Lifecycle
from outbox.model.outcome import OUTCOME_NAMES
from outbox.telemetry.alert_metrics import AlertMetrics
from outbox.telemetry.flow_metrics import FlowMetrics
from outbox.telemetry.intake_metrics import IntakeMetrics
from outbox.telemetry.relay_metrics import RelayMetrics
from outbox.telemetry.settings_metrics import SettingsMetrics
from outbox.telemetry.totals import TotalsMetrics

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The metrics of one process.

    Args:
        lanes: what this process may lead; none when it runs no relay.
        flows: the flows this process consumes; every label exists from the start, at zero.
        senders: the sources and clients that this process listens to.
        channels: over which this process writes to people.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(
        self, *, lanes: Sequence[Lane], flows: Iterable[str], senders: Sequence[str] = (), channels: Iterable[str] = ()
    ) -> None:
        registry = self._registry = CollectorRegistry()
        self._relay_lanes = lanes
        self._leading: set[str] = set()
        self._unpublished = {lane.stream: _OldestUnpublished() for lane in lanes}
        Gauge("outbox_build_info", "Version of the program.", ["version"], registry=registry).labels(
            version("outbox-sidecar")
        ).set(1)
        self._leader = Gauge("outbox_relay_is_leader", "1 while this relay leads.", ["stream"], registry=registry)
        oldest = Gauge(
            "outbox_oldest_unpublished_age_seconds",
            "How old an event may be that is committed and not confirmed. Grows while database or broker are away.",
            ["stream"],
            registry=registry,
        )
        self._published = Counter(
            "outbox_published_events", "Events confirmed by the broker.", ["stream"], registry=registry
        )
        self._rejected = Counter(
            "outbox_rejected_events", "Events that cannot become a message.", ["stream"], registry=registry
        )
        self._partitions_ahead = Gauge(
            "outbox_partitions_ahead", "Partitions that wait for their first event.", ["stream"], registry=registry
        )
        self._oldest_partition = Gauge(
            "outbox_oldest_partition_age_seconds", "Age of the oldest partition that holds events.", ["stream"],
            registry=registry,
        )  # fmt: skip
        self._default_used = Gauge(
            "outbox_default_partition_used", "1 while events are in the partition of last resort.", ["stream"],
            registry=registry,
        )  # fmt: skip
        self._unrouted = Counter(
            "outbox_unrouted_events",
            "Events that nobody had bound, as seen returned or arriving in outbox.unrouted.",
            registry=registry,
        )
        self._confirm = Histogram(
            "outbox_confirm_duration_seconds", "From sending a page to its last confirm.", ["stream"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._accepted = Counter("inbox_accepted_messages", "New messages taken.", ["flow"], registry=registry)
        self._duplicates = Counter(
            "inbox_duplicate_messages", "Messages that were known already.", ["flow"], registry=registry
        )
        self._silent = Counter(
            "inbox_silent_consumers",
            "Times that messages waited in the queue and none was delivered; the consumer then began anew.",
            ["flow"],
            registry=registry,
        )
        self._attempts = Counter("inbox_attempts", "Calls, by how they ended.", ["flow", "outcome"], registry=registry)
        self._settled = Counter(
            "inbox_settled_deliveries",
            "Deliveries, by the state that a call, a decision or their arrival brought them to.",
            ["flow", "state"], registry=registry,
        )  # fmt: skip
        self._parkings = Counter(
            "inbox_parkings", "How often a delivery was parked for a person, with or without a call, or on arrival.",
            ["flow", "state"], registry=registry,
        )  # fmt: skip
        self._call = Histogram(
            "inbox_call_duration_seconds", "Duration of calls to the target.", ["flow"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._void = Counter(
            "inbox_void_results", "Results refused, because the lane had a new owner.", ["flow"], registry=registry
        )
        self._lanes = Gauge("inbox_lanes_held", "Lanes that this process holds.", ["flow"], registry=registry)
        self._circuits = Counter(
            "inbox_circuit_changes", "How often a flow's circuit was opened or closed by this process.",
            ["flow", "state"], registry=registry,
        )  # fmt: skip
        self._intake_paused = Gauge(
            "inbox_intake_paused", "1 while the queue keeps what comes, because enough waits for its calls.", ["flow"],
            registry=registry,
        )  # fmt: skip
        self._throttled = Counter(
            "inbox_throttled_seconds", "Pauses that targets asked for, as seen by this process.", ["flow"],
            registry=registry,
        )  # fmt: skip
        self._forgotten = Counter(
            "inbox_forgotten_deliveries", "Finished deliveries that were removed by this process.", registry=registry
        )
        self._dead = Counter(
            "inbox_dead_letters_published", "Copies in the dead-letter queue.", ["flow"], registry=registry
        )
        self._redriven = Counter(
            "inbox_redriven_dead_letters", "Dead letters tried again because their copy was moved back on the broker.",
            ["flow"], registry=registry,
        )  # fmt: skip
        self._removed = Counter(
            "inbox_dead_letters_removed", "Copies of resolved dead letters taken out of their queue.", ["flow"],
            registry=registry,
        )  # fmt: skip
        self._waits = Counter(
            "outbox_service_waits", "How often a service could not work and was started again.", ["service"],
            registry=registry,
        )  # fmt: skip
        self._relay = RelayMetrics(registry, lanes) if lanes else None
        self._intake = IntakeMetrics(registry, senders) if senders else None
        for stream, unpublished in self._unpublished.items():
            oldest.labels(stream).set_function(unpublished.age_seconds)
            for metric in (self._leader, self._published, self._rejected, self._confirm):
                metric.labels(stream)
        self._parts = (
            FlowMetrics(registry, flows := tuple(flows)),
            TotalsMetrics(registry, flows),
            SettingsMetrics(registry),
            AlertMetrics(registry, channels),
        )
        for flow in flows:
            self._begin_flow(flow)

    def _begin_flow(self, flow: str) -> None:
        """Let every series of a flow be there, at zero when it is new."""
        for metric in (self._accepted, self._duplicates, self._silent, self._call, self._void, self._lanes, self._dead):
            metric.labels(flow)
        for metric in (self._throttled, self._intake_paused, self._redriven, self._removed):
            metric.labels(flow)
        for circuit_state in (CircuitState.OPEN, CircuitState.CLOSED):
            self._circuits.labels(flow, circuit_state)
        for outcome in OUTCOME_NAMES:
            self._attempts.labels(flow, outcome)
        for state in (State.APPLIED, State.RETRY, State.IN_DOUBT, State.DEAD, State.SKIPPED):
            self._settled.labels(flow, state)
        for state in PARKED:
            self._parkings.labels(flow, state)

    def exposition(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def __call__(self, event: Lifecycle) -> None:  # noqa: C901, PLR0912, PLR0915 - one flat case for each event
        """Count one event. What has no metric is in the logs."""
        if isinstance(event, IntakeEvents):
            # Thousands a second: they look through none of the others' cases.
            if self._intake is not None:
                self._intake(event)
            return
        if self._relay is not None:
            self._relay(event)
        for part in self._parts:
            part(event)
        match event:
            case happened.LeadTaken():
                self._leader.labels(event.stream).set(1)
                self._leading.add(event.stream)
            case happened.StandingBy() | lane_events.LeadGivenUp():
                self._leader.labels(event.stream).set(0)
                self._leading.discard(event.stream)
                self._unpublished[event.stream].is_leading = False
            case happened.PagePublished():
                self._published.labels(event.stream).inc(event.events)
                self._confirm.labels(event.stream).observe(event.confirm_seconds)
                self._unpublished[event.stream].at_least(event.oldest_age_seconds)
            case happened.CaughtUp():
                self._unpublished[event.stream].none()
            case happened.EventRejected():
                self._rejected.labels(event.stream).inc()
            case happened.Unrouted():
                self._unrouted.inc()
            case happened.PartitionsSeen():
                self._partitions_ahead.labels(event.stream).set(event.ahead)
                self._oldest_partition.labels(event.stream).set(event.oldest_age_seconds)
                self._default_used.labels(event.stream).set(event.is_default_used)
            case happened.UnroutedSeen():
                self._unrouted.inc(event.arrived)
            case happened.Accepted():
                self._accepted.labels(event.flow).inc(event.accepted)
                self._duplicates.labels(event.flow).inc(event.duplicates)
                self._settled.labels(event.flow, State.DEAD).inc(event.dead)
                self._settled.labels(event.flow, State.SKIPPED).inc(event.skipped)
                self._parkings.labels(event.flow, State.DEAD).inc(event.dead)
            case consumer_events.ConsumerSilent():
                self._silent.labels(event.flow).inc()
            case consumer_events.IntakePaused():
                self._intake_paused.labels(event.flow).set(1)
            case consumer_events.IntakeResumed():
                self._intake_paused.labels(event.flow).set(0)
            case happened.LanesChanged():
                self._lanes.labels(event.flow).set(event.held)
                self._settled.labels(event.flow, State.IN_DOUBT).inc(event.in_doubt)
            case happened.AttemptEnded():
                self._attempts.labels(event.flow, event.outcome).inc()
                self._settled.labels(event.flow, event.state).inc()
                self._call.labels(event.flow).observe(event.seconds)
            case flow_events.Parked():
                self._parkings.labels(event.flow, event.state).inc()
                if event.attempt is None:
                    # The end of a call has counted it.
                    self._settled.labels(event.flow, event.state).inc()
            case happened.SettleRefused():
                self._void.labels(event.flow).inc(event.results)
            case happened.DeadLetterPublished():
                self._dead.labels(event.flow).inc()
            case flow_events.CircuitChanged():
                self._circuits.labels(event.flow, event.state).inc()
            case flow_events.TargetThrottles():
                self._throttled.labels(event.flow).inc(event.pause_seconds)
            case flow_events.DeliveriesForgotten():
                self._forgotten.inc(event.deliveries)
            case dead_copies.Redriven():
                self._redriven.labels(event.flow).inc(event.tried_again)
            case dead_copies.CopiesRemoved():
                self._removed.labels(event.flow).inc(event.removed)
            case settings_events.FlowStarted():
                self._begin_flow(event.flow)
            case settings_events.FlowStopped():
                self._lanes.labels(event.flow).set(0)
                self._intake_paused.labels(event.flow).set(0)
            case happened.ServiceStarted():
                self._waits.labels(event.service)
            case happened.ServiceWaiting():
                self._waits.labels(event.service).inc()
                for lane in self._relay_lanes:
                    if event.service == lane.service:
                        # Its session is gone, and with it the lead.
                        self._leader.labels(lane.stream).set(0)
                        self._leading.discard(lane.stream)
                        self._unpublished[lane.stream].lost()
                    elif event.service == KEEPER and lane.stream not in self._leading:
                        # Nobody can tell whether another process leads it.
                        self._unpublished[lane.stream].lost()
            case _:
                pass


class _OldestUnpublished:
    """An upper bound that is true also while nobody can look: time since the last sight of an empty outbox."""

    def __init__(self) -> None:
        self.is_leading = False
        self._age_seconds = 0.0
        self._seen_at = time.monotonic()

    def age_seconds(self) -> float:
        if not self.is_leading:
            # A standby cannot know; the leader's series is the one to watch.
            return float("nan")
        return self._age_seconds + (time.monotonic() - self._seen_at)

    def at_least(self, age_seconds: float) -> None:
        self.is_leading = True
        self._age_seconds = age_seconds
        self._seen_at = time.monotonic()

    def none(self) -> None:
        self.at_least(0.0)

    def lost(self) -> None:
        """The relay could not work: from now on the age grows, also when it never led before."""
        self.is_leading = True
