"""Whether people can be told, as metrics: alarm on a channel that takes nothing, by other means."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from outbox.model.alert_events import AlertsSeen, NoticeFailed, NoticeSent
from outbox.model.lifecycle import Lifecycle


class AlertMetrics:
    """Counts messages to people. ``channels``: of the settings; every series exists from the start."""

    def __init__(self, registry: CollectorRegistry, channels: Iterable[str]) -> None:
        self._notices = Counter(
            "outbox_alert_notices", "Messages to people by this process, sent or failed.", ["channel", "result"],
            registry=registry,
        )  # fmt: skip
        self._failing = Gauge(
            "outbox_alert_channel_failing", "1 while the last message that this process sent there failed.",
            ["channel"], registry=registry,
        )  # fmt: skip
        self._standing = Gauge(
            "outbox_alerts_standing", "Alerts that stand in the database; NaN without channels and before a look.",
            registry=registry,
        )  # fmt: skip
        self._standing.set(float("nan"))
        for channel in channels:
            self._failing.labels(channel)
            for result in ("sent", "failed"):
                self._notices.labels(channel, result)

    def __call__(self, event: Lifecycle) -> None:
        """Follow one event."""
        match event:
            case NoticeSent(channel):
                self._notices.labels(channel, "sent").inc()
                self._failing.labels(channel).set(0)
            case NoticeFailed(channel):
                self._notices.labels(channel, "failed").inc()
                self._failing.labels(channel).set(1)
            case AlertsSeen(standing):
                self._standing.set(standing)
            case _:
                pass
