"""A reconciliation as JSON and as rows for people: amounts are text, exact. Pure."""

from __future__ import annotations

from decimal import Decimal

from outbox.model.reconciliation import Difference, Reconciliation, Row
from outbox.model.totals import Sum

# What is stored for each window; the command lists more.
_MOST_STORED = 100


def as_document(result: Reconciliation, most_listed: int = _MOST_STORED) -> dict[str, object]:
    """Return a reconciliation as JSON values."""
    return {
        "flow": result.flow,
        "from": result.window.since.isoformat(),
        "to": result.window.until.isoformat(),
        "verdict": result.verdict.value,
        "totals": [_row(row, has_amounts=result.has_amounts) for row in result.rows],
        "standing": {place.value: count for place, count in sorted(result.counts.items()) if count},
        "differences": [difference_document(one) for one in result.differences[:most_listed]],
        "notes": list(result.notes),
    }


def difference_document(difference: Difference) -> dict[str, object]:
    """Return a difference as JSON values."""
    return {
        "place": difference.place.value,
        "sequence": difference.sequence,
        "event_id": difference.event_id,
        "name": difference.name,
        "here": difference.here,
        "there": difference.there,
        "next_step": difference.next_step,
    }


def amount_text(amount: Decimal) -> str:
    """Write an amount as people do, with every digit: never 1E+2."""
    return f"{amount:f}"


def sum_text(part: Sum) -> str | None:
    """Write what they come to; None where nobody has told."""
    return None if part.is_counted_only else amount_text(part.amount)


def _row(row: Row, *, has_amounts: bool) -> dict[str, object]:
    told: dict[str, object] = {"place": row.place, "count": row.sum.count}
    if row.currency:
        told["currency"] = row.currency
    if has_amounts:
        told["amount"] = sum_text(row.sum)
    return told
