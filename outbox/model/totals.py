"""Counts and sums of a window, as a place tells them: exact, and never over two currencies. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from typing import Literal

# Numbers of at most 40 digits on either side of the point, moved by an exponent of two digits; a sum of any number of
# them that can be counted has fewer digits than this. What would be rounded all the same is an error.
_EXACT = Context(prec=400, traps=[Inexact, InvalidOperation, Overflow, DivisionByZero])
_NUMERAL = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?")

NO_CURRENCY = ""
# Also where a daylight saving time was forgotten.
_CLOCKS_DIFFER = timedelta(hours=1)


def decimal_of(text: object) -> Decimal | None:
    """Return the number that a text is, exactly; None when it is none, or one that no ledger has.

    The same rule as that of the function ``outbox.decimal_at``.
    """
    return Decimal(text) if isinstance(text, str) and _NUMERAL.fullmatch(text) is not None else None


@dataclass(frozen=True, slots=True)
class Window:
    """From ``since`` up to before ``until``, by the time that events were written at.

    ``seen_at``: when the books had been read, by the database's clock; what was applied by then is at the target.
    """

    since: datetime
    until: datetime
    seen_at: datetime | None = None

    def of_records(self) -> Window:
        """Return when a target may have made its records of these events: retries can be long, and clocks differ."""
        return Window(self.since - _CLOCKS_DIFFER, (self.seen_at or self.until) + _CLOCKS_DIFFER)


@dataclass(frozen=True, slots=True)
class Sum:
    """How many, and what they come to. ``unread``: those of them whose amount cannot be read."""

    count: int = 0
    amount: Decimal = Decimal(0)
    unread: int = 0

    @property
    def is_counted_only(self) -> bool:
        """Say whether nobody has told what they come to."""
        return self.unread > 0 and self.unread == self.count

    def plus(self, other: Sum) -> Sum:
        """Return both together, to the last digit."""
        return Sum(self.count + other.count, _EXACT.add(self.amount, other.amount), self.unread + other.unread)

    def minus(self, other: Sum) -> Sum:
        """Return what this has more than the other; negative where it has less."""
        return Sum(self.count - other.count, _EXACT.subtract(self.amount, other.amount), self.unread - other.unread)


def distance(one_amount: Decimal | None, other: Decimal | None) -> Decimal:
    """Return by how much two amounts differ, to the last digit; what cannot be read counts as zero."""
    return _EXACT.subtract(one_amount or Decimal(0), other or Decimal(0)).copy_abs()


# By currency; all under NO_CURRENCY where none is told.
Sums = Mapping[str, Sum]


def counted(sums: Sums) -> dict[str, Sum]:
    """Return how many alone: what they come to is not told, or not of one currency."""
    return {NO_CURRENCY: Sum(count, Decimal(0), count)} if (count := sum(part.count for part in sums.values())) else {}


def one(amount: Decimal | None) -> Sum:
    """Return the sum of a single amount."""
    return Sum(1, Decimal(0), 1) if amount is None else Sum(1, amount)


def added(parts: Iterable[tuple[str, Sum]]) -> dict[str, Sum]:
    """Add up what belongs to one currency."""
    totals: dict[str, Sum] = {}
    for currency, part in parts:
        totals[currency] = totals.get(currency, Sum()).plus(part)
    return totals


@dataclass(frozen=True, slots=True)
class Record:
    """What a target has under one name. ``copies``: how often that name was in its list."""

    amount: Decimal | None = None
    currency: str = NO_CURRENCY
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Ability:
    """What a target can tell of a window."""

    has_amounts: bool
    has_currencies: bool


@dataclass(frozen=True, slots=True)
class TargetPage:
    """A part of what a target has in a window.

    Args:
        sums: of this part.
        records: what it lists, by name and in its order; None: it only counts.
        named_by: what its names are, the ids that it gave or the references that we did.
        has_amounts: it tells amounts, not only how many.
        has_currencies: it tells each currency apart.
        is_of_events: its window goes by the time of our events, so that it has all of them and no others; else by the
            time of its records.
        next_page: what to ask for next; None: that is all.
    """

    sums: Sums
    records: tuple[tuple[str, Record], ...] | None = None
    named_by: Literal["external_id", "reference"] = "external_id"
    has_amounts: bool = False
    has_currencies: bool = False
    is_of_events: bool = True
    next_page: str | None = None


@dataclass(frozen=True, slots=True)
class TargetTotals:
    """All of what a target has in a window; see `TargetPage`."""

    sums: Sums
    records: Mapping[str, Record] | None
    named_by: Literal["external_id", "reference"]
    has_amounts: bool
    has_currencies: bool
    is_of_events: bool


@dataclass(slots=True)
class TargetPages:
    """Puts the pages of a target together."""

    pages: list[TargetPage] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def add(self, page: TargetPage) -> str | None:
        """Take a page; return what to ask for next, None at the end.

        Raises:
            ValueError: that was asked for already, or the same came again, so there would be no end.
        """
        if page.records and self.pages and page.records == self.pages[-1].records:
            raise ValueError("two pages are the same; does the target know the parameter that says which one?")
        self.pages.append(page)
        if page.next_page is None:
            return None
        if page.next_page in self.asked:
            raise ValueError("its pages go in a circle")
        self.asked.add(page.next_page)
        return page.next_page

    def records(self) -> int:
        """Return how many records were listed."""
        return sum(len(page.records or ()) for page in self.pages)

    def total(self) -> TargetTotals:
        """Return what they come to."""
        first = self.pages[0]
        records: dict[str, Record] | None = None if first.records is None else {}
        for page in self.pages:
            for name, record in page.records or ():
                if records is not None:
                    before = records.get(name)
                    records[name] = record if before is None else _again(record, before)
        return TargetTotals(
            added(part for page in self.pages for part in page.sums.items()),
            records,
            first.named_by,
            first.has_amounts,
            first.has_currencies,
            first.is_of_events,
        )


def _again(record: Record, before: Record) -> Record:
    return Record(record.amount, record.currency, before.copies + 1)
