"""Compares what was applied with what the target lists, name by name. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from outbox.model.reconciliation import Difference, Entry, Place, Subject
from outbox.model.reconciliation_text import amount_text
from outbox.model.totals import Record, Sum, TargetTotals, added, distance, one

# What a person reads; the counts tell of all.
MOST_LISTED = 1000
NEXT_STEPS: Mapping[Place, str] = {
    Place.LOST: 'look for it in the target; "outbox replay" with its --key applies it again',
    Place.FOREIGN: "somebody else made it, or its event is of another window: look for it in the target",
    Place.DOUBLE: "look in the target which of them is to stay",
    Place.AMOUNT: "it was changed in the target, or by an event of another window: look there",
}


@dataclass
class Compared:
    """What the comparison has found.

    ``off``: by how much it is off in each currency, lost and doubled records included. ``unnamed``: what was applied
    without a receipt by which it could be found. ``theirs``: of what the target lists, what belongs to the window.
    """

    differences: list[Difference] = field(default_factory=list)
    counts: Counter[Place] = field(default_factory=Counter)
    off: list[tuple[str, Sum]] = field(default_factory=list)
    foreign: list[tuple[str, Sum]] = field(default_factory=list)
    unnamed: int = 0
    theirs: dict[str, Sum] = field(default_factory=dict)

    def is_off(self, currency: str, amount: Decimal) -> None:
        """Note by how much an amount differs; none makes up for another."""
        self.off.append((currency, Sum(1, amount)))

    def add(self, place: Place, entry: Entry | None, name: str, here: Decimal | None, there: Decimal | None) -> None:
        """Note a difference; only the first are listed."""
        self.counts[place] += 1
        if len(self.differences) < MOST_LISTED:
            self.differences.append(
                Difference(
                    place,
                    NEXT_STEPS[place],
                    None if entry is None else entry.sequence,
                    None if entry is None else entry.event_id,
                    name,
                    None if here is None else amount_text(here),
                    None if there is None else amount_text(there),
                )
            )


def compare_names(subject: Subject, applied: Iterable[Entry], target: TargetTotals) -> Compared:
    """Return how what the target lists differs from what was applied. The last event of a record says what it is."""
    records, found = target.records or {}, Compared()
    has_amounts = subject.amount is not None and target.has_amounts
    has_currencies = subject.currency is not None and target.has_currencies
    expected: dict[str, Entry] = {}
    for entry in applied:
        name = name_of(entry, target.named_by)
        if name is None:
            found.unnamed += 1
        else:
            expected[name] = entry
    for name, entry in expected.items():
        record = records.get(name)
        if record is None:
            found.is_off(entry.currency, distance(entry.amount, None))
            found.add(Place.LOST, entry, name, entry.amount, None)
        else:
            _compare(found, name, entry, record, has_amounts=has_amounts, has_currencies=has_currencies)
    # Of a target that does not tell, the currency is the event's: two are never one sum.
    parts = [
        (record.currency if has_currencies or name not in expected else expected[name].currency, one(record.amount))
        for name, record in records.items()
        if name in expected or target.is_of_events
    ]
    if target.is_of_events:
        strange = {name: record for name, record in records.items() if name not in expected}
        for name, record in strange.items():
            found.foreign.append((record.currency, Sum(1, distance(record.amount, None))))
            found.add(Place.FOREIGN, None, name, None, record.amount)
    found.theirs = added(parts)
    return found


def name_of(entry: Entry, named_by: Literal["external_id", "reference"]) -> str | None:
    """Return by what the target knows an event's record."""
    return entry.external_id if named_by == "external_id" else entry.reference


def _compare(
    found: Compared, name: str, entry: Entry, record: Record, *, has_amounts: bool, has_currencies: bool
) -> None:
    if record.copies > 1:
        for _ in range(record.copies - 1):
            found.is_off(entry.currency, distance(record.amount, None))
        found.add(Place.DOUBLE, entry, name, None, None)
    if has_currencies and record.currency != entry.currency:
        found.is_off(entry.currency, distance(entry.amount, None))
        found.is_off(record.currency, distance(record.amount, None))
        found.add(Place.AMOUNT, entry, name, entry.amount, record.amount)
    elif has_amounts and record.amount != entry.amount:
        found.is_off(entry.currency, distance(entry.amount, record.amount))
        found.add(Place.AMOUNT, entry, name, entry.amount, record.amount)
