"""What happens at the intake, as metrics. Labels are the senders of the settings and the problems that there are."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram

from outbox.model import intake_events
from outbox.model.intake import NO_SOURCE
from outbox.model.lifecycle import Lifecycle

# Whoever calls an address that names no source.
_NOBODY = "unknown"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class IntakeMetrics:
    """Registers the metrics of a process that listens to the outside, and counts."""

    def __init__(self, registry: CollectorRegistry, senders: Iterable[str]) -> None:
        self._events = Counter("intake_events", "Events taken, for the first time.", ["source"], registry=registry)
        self._known = Counter(
            "intake_known_events", "Events that came again and got the first one's answer.", ["source"],
            registry=registry,
        )  # fmt: skip
        self._changed = Counter(
            "intake_changed_events", "Known ids that came with another content, which was not taken.", ["source"],
            registry=registry,
        )  # fmt: skip
        self._refused = Counter(
            "intake_refused_requests", "Requests not taken, by problem.", ["source", "problem"], registry=registry
        )
        self._failed = Counter("intake_failed_requests", "Requests that met a bug.", ["source"], registry=registry)
        self._seconds = Histogram(
            "intake_request_duration_seconds", "From the headers of a request to its answer, for those taken.",
            ["source"], buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._uncounted = Counter(
            "intake_unnoted_refusals", "Refused requests that cannot be looked up, for want of room.",
            registry=registry,
        )  # fmt: skip
        for sender in senders:
            for metric in (self._events, self._known, self._changed, self._failed, self._seconds):
                metric.labels(sender)

    def __call__(self, event: Lifecycle) -> None:
        """Count one event."""
        match event:
            case intake_events.RequestTaken(source, events, known, seconds):
                self._events.labels(source).inc(events - known)
                self._known.labels(source).inc(known)
                self._seconds.labels(source).observe(seconds)
            case intake_events.ContentChanged(source):
                self._changed.labels(source).inc()
            case intake_events.RequestRefused(source, problem):
                self._refused.labels(_NOBODY if source == NO_SOURCE else source, problem).inc()
            case intake_events.RequestFailed(source):
                self._failed.labels(_NOBODY if source == NO_SOURCE else source).inc()
            case intake_events.RefusalsNoted(uncounted=uncounted):
                self._uncounted.inc(uncounted)
            case _:
                pass
