"""What a reconciliation looks at and what comes of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from outbox.model.totals import Sum, Sums, Window


class Place(StrEnum):
    """Where an event of the window stands; the first eight as in ``inbox.reconcile_page``."""

    APPLIED = "applied"
    SKIPPED = "skipped"
    DEAD = "dead"
    IN_DOUBT = "in_doubt"
    WAITING = "waiting"
    REJECTED = "rejected"
    UNPUBLISHED = "unpublished"
    NOT_ACCEPTED = "not_accepted"
    LOST = "lost"
    """Applied, and the target has no such record."""
    FOREIGN = "foreign"
    """The target has it, and nothing of the window was applied as it."""
    DOUBLE = "double"
    """The target lists it more than once."""
    AMOUNT = "amount"
    """The target has another amount or currency."""


# Known, and told by other means: it will come, or a person decides.
ON_THE_WAY = (Place.UNPUBLISHED, Place.REJECTED, Place.WAITING, Place.IN_DOUBT, Place.DEAD)
# Nobody knows why.
UNEXPLAINED = (Place.NOT_ACCEPTED, Place.LOST, Place.FOREIGN, Place.DOUBLE, Place.AMOUNT)


class Verdict(StrEnum):
    """What a window comes to; see ``outbox.reconciliation.verdict``."""

    AGREES = "agrees"
    LATE = "late"
    DISAGREES = "disagrees"
    UNTOLD = "untold"
    """Given up: the target did not tell for six periods. No comparison comes to this."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What of a flow is reconciled, and how exactly it has to be.

    ``patterns``: of its event types, see `type_patterns`. ``amount``, ``currency``: paths in the payload.
    ``query``, ``role``: what the ERP's own tables are asked.
    """

    flow: str
    patterns: tuple[str, ...]
    amount: tuple[str, ...] | None = None
    currency: tuple[str, ...] | None = None
    query: str | None = None
    role: str | None = None
    count_tolerance: int = 0
    amount_tolerance: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a flow is reconciled by itself."""

    every_seconds: float
    window_seconds: float
    lag_seconds: float


@dataclass(frozen=True, slots=True)
class Task:
    """A window that a process has taken, for as long as its lease."""

    id: int
    epoch: int
    window: Window


@dataclass(frozen=True, slots=True)
class Entry:
    """One event, and where it stands. ``amount``: what was committed, or for what is applied that."""

    place: Place
    sequence: int
    event_id: str
    currency: str
    amount: Decimal | None
    external_id: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Events that stand at one place, of one currency. ``applied``: what of them was applied, if they were."""

    place: Place
    currency: str
    committed: Sum
    applied: Sum


@dataclass(frozen=True, slots=True)
class BookPage:
    """A part of the window. ``looked_up_to``: the id looked up to."""

    looked_up_to: int
    groups: Sequence[Group]
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class Books:
    """All of the window. ``source``: what the ERP's own tables say, None: they were not asked.

    ``entries``: the first of those that are not applied. ``applied``: all that are; None: they were not listed.
    ``is_cut``: retention has removed some of it.
    """

    groups: Sequence[Group]
    entries: Sequence[Entry]
    applied: Sequence[Entry] | None = None
    source: Sums | None = None
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """One event or record that is not everywhere, or not the same everywhere.

    ``name``: the record's, at the target. ``here``, ``there``: its amount in the books and at the target, where they
    differ.
    """

    place: Place
    next_step: str
    sequence: int | None = None
    event_id: str | None = None
    name: str | None = None
    here: str | None = None
    there: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What one place has, in one currency."""

    place: str
    currency: str
    sum: Sum


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What came of a window.

    ``rows``: by place and currency, in the order of an event's way. ``counts``: how many stand at each `Place` but
    ``applied``. ``differences``: the first of them. ``notes``: what was not compared, and why.
    """

    flow: str
    window: Window
    verdict: Verdict
    rows: Sequence[Row]
    counts: Mapping[Place, int]
    differences: Sequence[Difference] = ()
    notes: Sequence[str] = field(default_factory=tuple)
    has_amounts: bool = False

    def count(self, place: str) -> int | None:
        """Return how many a place of the table has in all currencies; None: it has no row."""
        found = [row.sum.count for row in self.rows if row.place == place]
        return sum(found) if found else None
