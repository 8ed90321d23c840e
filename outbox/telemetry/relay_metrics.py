"""What the relay and its watchdog tell, as metrics. Every series of every lane exists from the start."""

from __future__ import annotations

import time
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from outbox.model import contract_events, lane_events
from outbox.model import lifecycle as happened
from outbox.model.lanes import Lane
from outbox.model.lifecycle import Lifecycle

_EVENTS = (1, 2, 5, 10, 25, 50, 100, 150, 200, 250)
_UNKNOWN = float("nan")


class RelayMetrics:
    """Registers the metrics of the lanes of a stream and counts lifecycle events."""

    def __init__(self, registry: CollectorRegistry, lanes: Sequence[Lane]) -> None:
        self._blocked = _Blocked()
        self._leading: set[str] = set()
        self._streams = {lane.service: lane.stream for lane in lanes}
        self._page_events = Histogram(
            "outbox_page_events", "Events in a confirmed page.", ["stream"], buckets=_EVENTS, registry=registry
        )
        self._cursor_saves = Counter(
            "outbox_cursor_saves", "Times that the cursor was saved.", ["stream"], registry=registry
        )
        self._resent = Counter(
            "outbox_resent_events",
            "Events that were under way when a connection failed, and are sent again with the same ids.",
            ["stream"],
            registry=registry,
        )
        self._deprecated = Counter(
            "outbox_deprecated_events",
            "Events published whose contract is deprecated.",
            ["type", "version"],
            registry=registry,
        )
        self._nacked = Counter(
            "outbox_nacked_publishes", "Pages of which the broker refused a message.", registry=registry
        )
        self._stalls = Counter(
            "outbox_relay_stalls",
            "Times that events waited and nothing moved for too long, without a known reason.",
            ["stream"],
            registry=registry,
        )
        self._waiting_age = Gauge(
            "outbox_waiting_age_seconds",
            "Age of the oldest committed event behind the saved cursor, as the database tells; 0: none waits.",
            ["stream"],
            registry=registry,
        )
        self._holder_pid = Gauge(
            "outbox_xmin_holder_pid", "Server process with the oldest transaction or snapshot; 0: none.",
            registry=registry,
        )  # fmt: skip
        self._holder_transactions = Gauge(
            "outbox_xmin_holder_age_transactions", "How many transactions have begun since.", registry=registry
        )
        self._holder_seconds = Gauge(
            "outbox_xmin_holder_age_seconds",
            "How long it has been open; NaN where the relay's role may not see it (grant pg_read_all_stats).",
            registry=registry,
        )
        blocked = Gauge(
            "outbox_publishing_blocked", "1 while the broker takes nothing (memory or disk alarm).", registry=registry
        )
        blocked.set_function(self._blocked.is_blocked)
        blocked_seconds = Gauge(
            "outbox_publishing_blocked_seconds", "Time in all in which the broker took nothing.", registry=registry
        )
        blocked_seconds.set_function(self._blocked.total_seconds)

        self._unrouted = Gauge(
            "outbox_unrouted_messages", "Messages that wait in outbox.unrouted. Only a leading relay knows.",
            registry=registry,
        )  # fmt: skip
        self._unrouted.set(_UNKNOWN)
        # From the start on: a keeper that never comes to an end of a round has no other sign.
        self._upkeep_at = time.monotonic()
        upkeep = Gauge(
            "outbox_upkeep_age_seconds",
            "Since the last complete round of upkeep of the partitions; a round is due every minute.",
            registry=registry,
        )
        upkeep.set_function(lambda: time.monotonic() - self._upkeep_at)
        for lane in lanes:
            for metric in (self._page_events, self._cursor_saves, self._resent, self._stalls, self._waiting_age):
                metric.labels(lane.stream)

    def __call__(self, event: Lifecycle) -> None:  # noqa: C901, PLR0912 - one flat case for each event
        """Count one event."""
        match event:
            case happened.LeadTaken():
                self._leading.add(event.stream)
            case happened.PagePublished():
                self._page_events.labels(event.stream).observe(event.events)
            case happened.CursorSaved():
                self._cursor_saves.labels(event.stream).inc()
            case happened.SendingAgain():
                self._resent.labels(event.stream).inc(event.events)
            case contract_events.DeprecatedPublished():
                self._deprecated.labels(event.type, event.version).inc(event.events)
            case happened.PublishingRefused():
                self._nacked.inc()
            case happened.PublishingBlocked():
                self._blocked.begin(event.stream)
            case happened.PublishingUnblocked():
                self._blocked.end(event.stream)
            case happened.ServiceWaiting() if event.service in self._streams:
                self._blocked.end(self._streams[event.service])
                self._lost(self._streams[event.service])
            case happened.StandingBy() | lane_events.LeadGivenUp():
                self._lost(event.stream)
            case happened.UnroutedSeen():
                self._unrouted.set(event.messages)
            case happened.PartitionsSeen():
                self._upkeep_at = time.monotonic()
            case happened.Stalled():
                self._stalls.labels(event.stream).inc()
            case happened.StreamObserved():
                self._observe(event)
            case _:
                pass

    def _lost(self, stream: str) -> None:
        self._leading.discard(stream)
        if not self._leading:
            self._unrouted.set(_UNKNOWN)

    def _observe(self, seen: happened.StreamObserved) -> None:
        self._waiting_age.labels(seen.stream).set(seen.oldest_age_seconds if seen.is_waiting else 0.0)
        self._holder_pid.set(seen.holder_pid or 0)
        self._holder_transactions.set(seen.holder_transactions or 0)
        is_unknown = seen.holder_pid is not None and seen.holder_age_seconds is None
        self._holder_seconds.set(_UNKNOWN if is_unknown else seen.holder_age_seconds or 0.0)


class _Blocked:
    """Seconds that also grow while the block lasts, of any connection."""

    def __init__(self) -> None:
        self._blocked: set[str | None] = set()
        self._since: float | None = None
        self._before_seconds = 0.0

    def begin(self, stream: str | None) -> None:
        self._blocked.add(stream)
        if self._since is None:
            self._since = time.monotonic()

    def end(self, stream: str | None) -> None:
        self._blocked.discard(stream)
        if not self._blocked:
            self._before_seconds = self.total_seconds()
            self._since = None

    def is_blocked(self) -> float:
        return 0.0 if self._since is None else 1.0

    def total_seconds(self) -> float:
        return self._before_seconds + (0.0 if self._since is None else time.monotonic() - self._since)
