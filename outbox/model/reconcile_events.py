"""What reconciling a flow has found; part of `outbox.model.lifecycle.Lifecycle`. Numbers of events, never amounts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A window of a flow was compared from place to place; see `outbox.model.reconciliation`.

    ``at_target``: None where it cannot be asked. ``unexplained``: events and records that differ, and nobody knows why;
    ``on_the_way``: those that wait or are parked.
    """

    flow: str
    since: str
    until: str
    verdict: str
    committed: int
    published: int
    applied: int
    at_target: int | None
    unexplained: int
    on_the_way: int
    owner: str | None
    runbook: str | None


@dataclass(frozen=True, slots=True)
class TotalsUntold:
    """The target could not be asked what it has; it is asked again."""

    flow: str
    since: str
    reason: str


@dataclass(frozen=True, slots=True)
class TotalsGivenUp:
    """A window whose totals were not told for six periods is not asked for again; its row says ``untold``."""

    flow: str
    since: str
    until: str
    owner: str | None
    runbook: str | None


ReconcileEvents = Reconciled | TotalsUntold | TotalsGivenUp
