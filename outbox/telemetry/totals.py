"""What reconciling has found, as metrics: numbers of events, never amounts."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter

from outbox.model.lifecycle import Lifecycle
from outbox.model.reconcile_events import Reconciled, TotalsGivenUp, TotalsUntold
from outbox.model.reconciliation import Verdict
from outbox.model.settings_events import FlowStarted


class TotalsMetrics:
    """Counts windows by how they came out. Not a gauge: the next window may be another process's."""

    def __init__(self, registry: CollectorRegistry, flows: Iterable[str]) -> None:
        self._reconciliations = Counter(
            "outbox_reconciliations", "Windows reconciled by this process, by what they came to.", ["flow", "verdict"],
            registry=registry,
        )  # fmt: skip
        self._unexplained = Counter(
            "outbox_reconciliation_unexplained", "Events and records that differ, and nobody knows why.", ["flow"],
            registry=registry,
        )  # fmt: skip
        self._untold = Counter(
            "outbox_reconciliation_untold", "Times that a target did not tell its totals.", ["flow"], registry=registry
        )
        for flow in flows:
            self._begin_flow(flow)

    def __call__(self, event: Lifecycle) -> None:
        """Follow one event."""
        match event:
            case Reconciled():
                self._reconciliations.labels(event.flow, event.verdict).inc()
                self._unexplained.labels(event.flow).inc(event.unexplained)
            case TotalsUntold(flow):
                self._untold.labels(flow).inc()
            case TotalsGivenUp(flow):
                self._reconciliations.labels(flow, Verdict.UNTOLD).inc()
            case FlowStarted(flow):
                self._begin_flow(flow)
            case _:
                pass

    def _begin_flow(self, flow: str) -> None:
        """Let every series of a flow be there, at zero when it is new."""
        self._unexplained.labels(flow)
        self._untold.labels(flow)
        for verdict in Verdict:
            self._reconciliations.labels(flow, verdict)
