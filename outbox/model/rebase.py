"""What a rebase would do, and what makes one necessary: facts as values, and what they mean. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
class RebasePlan:
    """What was found. ``saved_*`` is what the cursor says, the same name without it is this server's."""

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
    recollection: Recollection

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


def findings(plan: RebasePlan) -> list[str]:
    """Return what the guard sees, one sentence each; empty: the cursor belongs to this server."""
    found = []
    if plan.saved_cluster is not None and plan.saved_cluster != plan.cluster:
        found.append("The cursor was saved in another cluster: this database was restored or copied from there.")
    elif plan.saved_database is not None and plan.saved_database != plan.database:
        found.append("The cursor was saved in another database of this cluster: this database is a copy.")
    if plan.saved_timeline is not None and plan.saved_timeline != plan.timeline and not found:
        found.append("This server has failed over or was recovered since the cursor was last verified.")
    if plan.saved_transaction > plan.transaction:
        found.append("The cursor is ahead of this server's transactions.")
    if plan.newest_row_transaction is not None and plan.newest_row_transaction >= plan.transaction:
        found.append("There are events of transactions that this server has not come to yet.")
    if plan.recollection.lost:
        found.append(
            f"This server has lost transactions: {plan.recollection.lost} of the last {plan.recollection.remembered} "
            f"published events do not exist here (sequence {plan.recollection.first_lost} to "
            f"{plan.recollection.last_lost})."
        )
    return found


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
