"""What settings say of reconciling, as the rooms below take it."""

from __future__ import annotations

from adapters.registry import ADAPTERS
from outbox.config.reconcile import Reconcile
from outbox.config.settings import Flow, Settings
from outbox.flow.reconciler import Owner
from outbox.model.reconciliation import Schedule, Subject
from outbox.model.replay import both, type_patterns
from outbox.model.totals import Ability


def subject_of(name: str, flow: Flow) -> Subject:
    """Return what of a flow is reconciled; a flow that says nothing of it is counted."""
    chosen = flow.reconcile or Reconcile()
    return Subject(
        flow=name,
        # What the flow gets, and of that what counts.
        patterns=both(type_patterns(flow.topics()), type_patterns(chosen.events or ("#",))),
        amount=_path(chosen.amount),
        currency=_path(chosen.currency),
        query=None if chosen.committed is None else chosen.committed.query.rstrip().rstrip(";"),
        role=None if chosen.committed is None else chosen.committed.role,
        count_tolerance=flow.tolerance.count,
        amount_tolerance=flow.tolerance.amount,
    )


def schedule_of(chosen: Reconcile) -> Schedule:
    """Return when a flow is reconciled by itself."""
    return Schedule(chosen.every, chosen.window, chosen.lag)


def owner_of(flow: Flow) -> Owner:
    """Return whom to tell when totals disagree."""
    return Owner(None if flow.owner is None else flow.owner.business, flow.runbook)


def reconcile_notes(settings: Settings) -> list[tuple[str, str]]:
    """Return what of each flow cannot be compared, although it is to be."""
    return [
        (name, note)
        for name, flow in settings.flows.items()
        if flow.reconcile is not None
        for note in [_not_compared(flow.reconcile, ADAPTERS[flow.adapter.use].tells_totals(flow.adapter.settings))]
        if note is not None
    ]


def _not_compared(chosen: Reconcile, told: Ability | None) -> str | None:
    if told is None:
        return "totals are compared as far as the inbox: the target is asked only with adapter.totals"
    if chosen.amount is not None and not told.has_amounts:
        return "amounts are not compared with the target: adapter.totals has no amount"
    if chosen.currency is not None and not told.has_currencies:
        return "the target's currencies are not told apart: adapter.totals has no currency"
    return None


def _path(path: str | None) -> tuple[str, ...] | None:
    return None if path is None else tuple(path.split("."))
