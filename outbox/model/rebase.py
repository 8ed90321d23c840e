"""What a rebase would do, and what makes one necessary: facts as values, and what they mean. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class Range(StrEnum):
    """Which of the events that exist are published again; what commits later is published in any case."""

    RESUME = "resume"
    FROM = "from"
    SINCE = "since"
    ALL = "all"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Choice:
    """A range, with its bound."""

    range: Range = Range.RESUME
    from_sequence: int | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recollection:
    """What the broker remembers as published, compared with the table. ``problem``: why it could not be asked."""

    remembered: int = 0
    highest_sequence: int | None = None
    lost: int = 0
    first_lost: int | None = None
    last_lost: int | None = None
    problem: str | None = None


# What was published in the last second before a loss is remembered by nobody, and no relay is faster.
_UNREMEMBERED_EVENTS = 100_000


@dataclass(frozen=True, slots=True)
class CursorHome:
    """The server of the cursor. ``saved_*`` is what the cursor says, the same name without it is this server's."""

    epoch: int
    saved_age_seconds: float
    origin: str | None
    saved_cluster: int | None
    cluster: int
    saved_database: int | None
    database: int
    saved_timeline: str | None
    timeline: str
    saved_transaction: int
    newest_row_transaction: int | None
    transaction: int
    recollection: Recollection


@dataclass(frozen=True, slots=True)
class RebasePlan(CursorHome):
    """What was found, and what a rebase would do."""

    events: int
    first_sequence: int | None
    last_sequence: int | None
    sequence_value: int
    unpassed: int
    first_unpassed: int | None
    last_unpassed: int | None
    rejected: int
    chosen: int
    first_chosen: int | None
    last_chosen: int | None
    oldest_chosen_age_seconds: float | None
    newest_chosen_age_seconds: float | None
    chosen_types: Mapping[str, int]

    def next_sequence_above(self) -> int:
        """Return what the sequence of the next event will be above, so that no receiver has seen it.

        A receiver that drops what is older than the last that it knows of a key would drop a number given out again.
        """
        known = max(self.sequence_value, self.last_sequence or 0, self.recollection.highest_sequence or 0)
        return known + _UNREMEMBERED_EVENTS if findings(self) else known


@dataclass(frozen=True, slots=True)
class Rebased:
    """What a rebase has done. ``first_sequence``: none is published again when null."""

    epoch: int
    first_sequence: int | None
    horizon: int
    sequence_after: int


def findings(home: CursorHome) -> list[str]:
    """Return what the guard sees, one sentence each; empty: the cursor belongs to this server."""
    found = []
    if home.saved_cluster is not None and home.saved_cluster != home.cluster:
        found.append("The cursor was saved in another cluster: this database was restored or copied from there.")
    elif home.saved_database is not None and home.saved_database != home.database:
        found.append("The cursor was saved in another database of this cluster: this database is a copy.")
    if home.saved_timeline is not None and home.saved_timeline != home.timeline and not found:
        found.append("This server has failed over or was recovered since the cursor was last verified.")
    if home.saved_transaction > home.transaction:
        found.append("The cursor is ahead of this server's transactions.")
    if home.newest_row_transaction is not None and home.newest_row_transaction >= home.transaction:
        found.append("There are events of transactions that this server has not come to yet.")
    if home.recollection.lost:
        found.append(
            f"This server has lost transactions: {home.recollection.lost} of the last {home.recollection.remembered} "
            f"published events do not exist here (sequence {home.recollection.first_lost} to "
            f"{home.recollection.last_lost})."
        )
    return found


def has_only_failed_over(home: CursorHome) -> bool:
    """Say whether a new timeline is all that was found: what the broker remembers decides whether anything is lost."""
    return bool(findings(home)) and not findings(replace(home, saved_timeline=None))


def certainties(plan: RebasePlan) -> list[str]:
    """Return what is certain."""
    passed = plan.events - plan.unpassed
    rule = f"each was published, or is one of the {plan.rejected} in outbox.rejected."
    said = [f"{passed} of {plan.events} events were passed by the cursor: {rule}"]
    recollection = plan.recollection
    if recollection.highest_sequence is not None:
        said.append(f"Messages with sequence numbers up to {recollection.highest_sequence} were published.")
    return said


def uncertainties(plan: RebasePlan) -> list[str]:
    """Return what nobody can know from here."""
    said = []
    if plan.unpassed:
        said.append(
            f"{plan.unpassed} events (sequence {plan.first_unpassed} to {plan.last_unpassed}) were not passed by the "
            "cursor: they may have been published all the same, and then receivers know their message ids."
        )
    if plan.recollection.lost:
        said.append("Receivers hold messages of transactions that never happened here; they must be told by hand.")
    elif findings(plan):
        said.append("What was committed and published elsewhere, and does not exist here, cannot be seen from here.")
    if plan.recollection.problem is not None:
        said.append(f"The broker could not be asked what it remembers: {plan.recollection.problem}.")
    elif plan.recollection.highest_sequence is None:
        said.append("The broker remembers no event of this outbox.")
    return said
