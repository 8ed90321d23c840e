"""What a flow may say of its reconciliation, and the sentence for what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.config_cases import problems_of, settings_of

FLOW = (
    "{{connections: {{crm: {{base_url: 'https://crm.example.com'}}}}, {more} flows: {{orders: {{description: x,"
    " events: [order.confirmed], adapter: {{use: rest, connection: crm, path: /deals}}, reconcile: {reconcile}}}}}}}"
)


def text(reconcile: str, more: str = "") -> str:
    return FLOW.format(reconcile=reconcile, more=more)


def test_a_flow_is_reconciled_once_a_day_a_quarter_of_an_hour_later_unless_it_says_otherwise(tmp_path: Path) -> None:
    chosen = settings_of(text("{amount: order.total}"), tmp_path).flows["orders"].reconcile
    assert chosen is not None
    assert (chosen.every, chosen.window, chosen.lag) == (86_400.0, 86_400.0, 900.0)
    assert (chosen.amount, chosen.currency, chosen.events, chosen.committed) == ("order.total", None, None, None)


@pytest.mark.parametrize(
    ("reconcile", "about"),
    [
        ("{currency: order.currency}", "needs amount"),
        ("{amount: 'order total'}", "path of a field in the payload"),
        ("{amount: order..total}", "path of a field in the payload"),
        ("{every: 0s}", "between 1s and 366d"),
        ("{lag: 8d}", "between 0s and 7d"),
        ("{events: []}", "events"),
        ("{committed: {role: reporting}}", "query"),
        ("{windows: 1d}", "window"),
        ("{window: 30d}", "at most retention.keep (30d)"),
    ],
)
def test_what_cannot_work_is_told_with_what_is_allowed(reconcile: str, about: str, tmp_path: Path) -> None:
    (problem,) = problems_of(text(reconcile), tmp_path)
    assert about in problem


def test_a_window_fits_into_what_retention_keeps(tmp_path: Path) -> None:
    longer = text("{window: 30d, lag: 1d}", "retention: {keep: 31d},")
    assert settings_of(longer, tmp_path).flows["orders"].reconcile is not None
