"""What the relay and its watchdog tell, as metrics. A process runs one stream: every series exists from the start."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from outbox.model import lifecycle as happened
from outbox.model.lifecycle import Lifecycle

# The one service whose failure leaves events unpublished.
RELAY_SERVICE = "relay"
_EVENTS = (1, 2, 5, 10, 25, 50, 100, 150, 200, 250)
_UNKNOWN = float("nan")


class RelayMetrics:
    """Registers the metrics of one stream and counts lifecycle events."""

    def __init__(self, registry: CollectorRegistry, stream: str) -> None:
        self._blocked = _Blocked()
        self._page_events = Histogram(
            "outbox_page_events", "Events in a confirmed page.", ["stream"], buckets=_EVENTS, registry=registry
        ).labels(stream)
        self._cursor_saves = Counter(
            "outbox_cursor_saves", "Times that the cursor was saved.", ["stream"], registry=registry
        ).labels(stream)
        self._resent = Counter(
            "outbox_resent_events",
            "Events that were under way when a connection failed, and are sent again with the same ids.",
            ["stream"],
            registry=registry,
        ).labels(stream)
        self._nacked = Counter(
            "outbox_nacked_publishes", "Pages of which the broker refused a message.", registry=registry
        )
        self._stalls = Counter(
            "outbox_relay_stalls",
            "Times that events waited and nothing moved for too long, without a known reason.",
            ["stream"],
            registry=registry,
        ).labels(stream)
        self._waiting_age = Gauge(
            "outbox_waiting_age_seconds",
            "Age of the oldest committed event behind the saved cursor, as the database tells; 0: none waits.",
            ["stream"],
            registry=registry,
        ).labels(stream)
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

    def __call__(self, event: Lifecycle) -> None:  # noqa: PLR0912 - one flat case for each event
        """Count one event."""
        match event:
            case happened.PagePublished():
                self._page_events.observe(event.events)
            case happened.CursorSaved():
                self._cursor_saves.inc()
            case happened.SendingAgain():
                self._resent.inc(event.events)
            case happened.PublishingRefused():
                self._nacked.inc()
            case happened.PublishingBlocked():
                self._blocked.begin()
            case happened.PublishingUnblocked():
                self._blocked.end()
            case happened.ServiceWaiting():
                self._blocked.end()
                if event.service == RELAY_SERVICE:
                    self._unrouted.set(_UNKNOWN)
            case happened.StandingBy():
                self._unrouted.set(_UNKNOWN)
            case happened.UnroutedSeen():
                self._unrouted.set(event.messages)
            case happened.Stalled():
                self._stalls.inc()
            case happened.StreamObserved():
                self._observe(event)
            case _:
                pass

    def _observe(self, seen: happened.StreamObserved) -> None:
        self._waiting_age.set(seen.oldest_age_seconds if seen.is_waiting else 0.0)
        self._holder_pid.set(seen.holder_pid or 0)
        self._holder_transactions.set(seen.holder_transactions or 0)
        is_unknown = seen.holder_pid is not None and seen.holder_age_seconds is None
        self._holder_seconds.set(_UNKNOWN if is_unknown else seen.holder_age_seconds or 0.0)


class _Blocked:
    """Seconds that also grow while the block lasts."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._before_seconds = 0.0

    def begin(self) -> None:
        if self._since is None:
            self._since = time.monotonic()

    def end(self) -> None:
        self._before_seconds = self.total_seconds()
        self._since = None

    def is_blocked(self) -> float:
        return 0.0 if self._since is None else 1.0

    def total_seconds(self) -> float:
        return self._before_seconds + (0.0 if self._since is None else time.monotonic() - self._since)
