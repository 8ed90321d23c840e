"""Totals in logs and metrics: what disagrees is an error with whom to tell, and nothing has an amount."""

from __future__ import annotations

import json

import pytest
import structlog

from outbox.model.reconcile_events import Reconciled, TotalsGivenUp, TotalsUntold
from outbox.telemetry import logs
from outbox.telemetry.logs import LifecycleLog
from outbox.telemetry.metrics import Metrics

FLOW = "orders-to-crm"


def told(verdict: str) -> Reconciled:
    return Reconciled(FLOW, "2026-11-01", "2026-11-02", verdict, 3, 3, 3, 2, 1, 0, "sales@example.com", "docs/x.md")


@pytest.mark.parametrize(("verdict", "level"), [("agrees", "info"), ("late", "warning"), ("disagrees", "error")])
def test_totals_that_disagree_are_an_error_with_owner_and_next_step(
    capsys: pytest.CaptureFixture[str], verdict: str, level: str
) -> None:
    logs.configure(style="json", level="debug")
    try:
        LifecycleLog("outbox-test")(told(verdict))
    finally:
        structlog.reset_defaults()
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["owner"], line["runbook"], line["unexplained"]) == (
        level, "sales@example.com", "docs/x.md", 1,
    )  # fmt: skip
    assert ("outbox reconcile --flow" in line.get("next_step", "")) is (verdict != "agrees")


def test_windows_are_counted_by_what_they_came_to_from_zero_on() -> None:
    metrics = Metrics(lanes=(), flows=(FLOW,))
    before = metrics.exposition().decode()
    given_up = TotalsGivenUp(FLOW, "2026-11-01", "2026-11-02", "sales@example.com", None)
    for event in (told("disagrees"), told("agrees"), TotalsUntold(FLOW, "2026-11-01", "answered 503"), given_up):
        metrics(event)
    after = metrics.exposition().decode()
    for series in (
        f'outbox_reconciliations_total{{flow="{FLOW}",verdict="disagrees"}}',
        f'outbox_reconciliations_total{{flow="{FLOW}",verdict="agrees"}}',
        f'outbox_reconciliations_total{{flow="{FLOW}",verdict="untold"}}',
        f'outbox_reconciliation_untold_total{{flow="{FLOW}"}}',
    ):
        assert f"{series} 0.0" in before
        assert f"{series} 1.0" in after
    assert f'outbox_reconciliation_unexplained_total{{flow="{FLOW}"}} 2.0' in after
