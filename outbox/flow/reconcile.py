"""Compares what was committed, published, applied and is at the target. Pure.

What is not applied yet is named by where it stands, and never called lost. Only what the inbox calls applied and the
target does not have is lost, and only what nobody has applied is foreign.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal

from outbox.flow.reconcile_names import MOST_LISTED, Compared, compare_names
from outbox.model.reconciliation import (
    ON_THE_WAY,
    Books,
    Difference,
    Entry,
    Place,
    Reconciliation,
    Row,
    Subject,
    Verdict,
)
from outbox.model.reconciliation_text import amount_text
from outbox.model.totals import NO_CURRENCY, Sum, Sums, TargetTotals, Window, added, counted, one

_NOT_PUBLISHED = (Place.UNPUBLISHED, Place.REJECTED)
# What the target may have of an event that we do not call applied.
_MAY_BE_THERE = (Place.WAITING, Place.IN_DOUBT, Place.DEAD)
NEXT_STEPS: Mapping[Place, str] = {
    Place.SKIPPED: "nothing to do: a person or on_stale gave it up",
    Place.DEAD: '"outbox dead list" tells why, "outbox dead retry" tries it again',
    Place.IN_DOUBT: 'look into the target, then "outbox dead resolve" says whether it happened',
    Place.WAITING: 'nothing is lost: "outbox status" says what it waits for',
    Place.REJECTED: '"outbox rejected list" tells why; the application writes it again',
    Place.UNPUBLISHED: 'nothing is lost: the relay publishes it; "outbox status" says how far it is',
    Place.NOT_ACCEPTED: 'see its queue and "outbox unrouted"; what is in neither, "outbox replay --missing" applies',
}


def compare(subject: Subject, window: Window, books: Books, target: TargetTotals | None) -> Reconciliation:
    """Return what a window comes to.

    Args:
        subject: what is reconciled, with its tolerance.
        window: of the events.
        books: where they stand.
        target: what the target has; None: it cannot be asked.
    """
    committed = added((group.currency, group.committed) for group in books.groups)
    published = added((group.currency, group.committed) for group in books.groups if group.place not in _NOT_PUBLISHED)
    applied = added((group.currency, group.applied) for group in books.groups if group.place is Place.APPLIED)
    counts: Counter[Place] = Counter()
    for group in books.groups:
        if group.place is not Place.APPLIED:
            counts[group.place] += group.committed.count
    named = None
    if target is not None and target.records is not None and books.applied is not None:
        named = compare_names(subject, books.applied, target)
        counts.update(named.counts)
    judge = _Judge(subject, books, counts, committed, applied)
    judge.books()
    if named is not None:
        judge.names(named)
    elif target is not None:
        judge.sums(target)
    else:
        judge.notes.append("the target was not asked: it cannot be, or adapter.totals does not say how")
    theirs = None if target is None else _shown(subject, target) if named is None else named.theirs
    places = {"source": books.source, "committed": committed, "published": published, "applied": applied}
    return Reconciliation(
        flow=subject.flow,
        window=window,
        verdict=judge.verdict(),
        rows=[
            # A place without anything has a row that says so.
            Row(place, currency, sums.get(currency, Sum()))
            for place, sums in (*places.items(), ("target", theirs))
            if sums is not None
            for currency in sorted(sums) or [NO_CURRENCY]
        ],
        counts=dict(counts),
        differences=[*(named.differences if named is not None else ()), *map(_difference, books.entries)][:MOST_LISTED],
        notes=judge.notes,
        has_amounts=subject.amount is not None,
    )


def _shown(subject: Subject, target: TargetTotals) -> Sums:
    """Return what a target tells as a whole; a sum over several currencies is none."""
    is_mixed = subject.currency is not None and not target.has_currencies
    return counted(target.sums) if is_mixed or not target.has_amounts else target.sums


def _difference(entry: Entry) -> Difference:
    return Difference(
        entry.place,
        NEXT_STEPS[entry.place],
        entry.sequence,
        entry.event_id,
        entry.external_id or entry.reference,
        None if entry.amount is None else amount_text(entry.amount),
    )


class _Judge:
    """Holds every difference against the tolerance; each alone, so that one never makes up for another."""

    def __init__(
        self,
        subject: Subject,
        books: Books,
        counts: Mapping[Place, int],
        committed: Sums,
        applied: Sums,
    ) -> None:
        self.notes: list[str] = []
        self._subject = subject
        self._books = books
        self._counts = counts
        self._committed = committed
        self._applied = applied
        self._disagrees = False
        self._is_late = False

    def verdict(self) -> Verdict:
        if self._disagrees:
            return Verdict.DISAGREES
        return Verdict.LATE if self._is_late else Verdict.AGREES

    def books(self) -> None:
        """Judge what our own places say, and the ERP's tables."""
        unread = sum(group.committed.unread + group.applied.unread for group in self._books.groups)
        if unread:
            # A path that is wrong would make zero everywhere, which agrees with itself.
            self._disagrees = True
            self.notes.append(f"{unread} amount(s) cannot be read at {'.'.join(self._subject.amount or ())}")
        if self._books.is_cut:
            self._disagrees = True
            self.notes.append("retention has removed events of this window, so it cannot be compared as a whole")
        self._is_late = self._is_off(self._standing(*ON_THE_WAY))
        self._disagrees |= self._is_off(self._standing(Place.NOT_ACCEPTED))
        edited = [
            currency
            for currency, theirs in added(
                (group.currency, group.committed) for group in self._books.groups if group.place is Place.APPLIED
            ).items()
            if theirs.amount != self._applied[currency].amount
        ]
        if edited:
            self.notes.append("some was edited before it was applied, so applied differs from committed: see the audit")
        source = self._books.source
        if source is not None:
            self._compare(
                "source",
                source,
                self._committed,
                has_currencies=_tells_currencies(source),
                has_amounts=not any(part.is_counted_only for part in source.values()),
            )

    def names(self, named: Compared) -> None:
        """Judge what was compared name by name."""
        excused = sum(self._counts.get(place, 0) for place in _MAY_BE_THERE) + named.unnamed
        if named.unnamed:
            self.notes.append(f"{named.unnamed} applied without a receipt, so not looked for in the target by name")
        events = named.counts[Place.LOST] + named.counts[Place.DOUBLE]
        off = list(named.off)
        if named.counts[Place.FOREIGN] > excused:
            events += named.counts[Place.FOREIGN] - excused
            off += named.foreign
        elif named.counts[Place.FOREIGN]:
            self.notes.append(f"{named.counts[Place.FOREIGN]} in the target may be of what is not settled here yet")
        self._disagrees |= events > self._subject.count_tolerance
        self._disagrees |= any(self._is_too_much(part) for part in added(off).values())

    def sums(self, target: TargetTotals) -> None:
        """Judge what can only be compared as a whole."""
        if target.records is not None:
            self.notes.append("too many to be compared by name: only the totals are compared")
        if not target.is_of_events:
            self._disagrees = True
            self.notes.append("the target tells by the time of its records, so its totals alone cannot be compared")
            return
        excused = sum(self._counts.get(place, 0) for place in _MAY_BE_THERE)
        self._compare(
            "target", target.sums, self._applied, has_currencies=target.has_currencies,
            has_amounts=target.has_amounts, excused=excused,
        )  # fmt: skip

    def _compare(
        self, place: str, theirs: Sums, ours: Sums, *, has_currencies: bool, has_amounts: bool = True, excused: int = 0
    ) -> None:
        is_by_currency = self._subject.currency is not None
        gap = sum(part.count for part in theirs.values()) - sum(part.count for part in ours.values())
        if 0 < gap <= excused:
            self.notes.append(f"{gap} more at {place} may be of what is not settled here yet")
            are_told = self._subject.amount is not None and has_amounts and (has_currencies or not is_by_currency)
            self._disagrees |= are_told and not self._may_be_unsettled(theirs, ours, excused)
            return
        self._disagrees |= abs(gap) > self._subject.count_tolerance
        if self._subject.amount is None:
            return
        if not has_amounts:
            self.notes.append(f"{place} does not tell amounts: only the number is compared")
            return
        if is_by_currency and not has_currencies:
            self.notes.append(f"{place} does not tell its currencies apart: only the number is compared")
            return
        for currency in {*theirs, *ours}:
            off = theirs.get(currency, Sum()).minus(ours.get(currency, Sum()))
            self._disagrees |= self._is_too_much(off)
            self._disagrees |= is_by_currency and abs(off.count) > self._subject.count_tolerance

    def _may_be_unsettled(self, theirs: Sums, ours: Sums, excused: int) -> bool:
        """Say whether some of what is not settled here could make up all that is too much in amounts."""
        unsettled = [entry for entry in self._books.entries if entry.place in _MAY_BE_THERE]
        if len(unsettled) < excused:
            # Not all of them are listed, so nobody knows what they come to at most.
            return True
        for currency in {*theirs, *ours}:
            off = theirs.get(currency, Sum()).minus(ours.get(currency, Sum()))
            amounts = [entry.amount or Decimal(0) for entry in unsettled if entry.currency == currency]
            # Credits are negative: all that is above zero is the most, all that is below it the least.
            bounds = added(("most" if amount > 0 else "least", one(amount)) for amount in amounts)
            above, below = off.minus(bounds.get("most", Sum())), bounds.get("least", Sum()).minus(off)
            if max(above.amount, below.amount) > self._subject.amount_tolerance:
                return False
        return True

    def _standing(self, *places: Place) -> Iterator[tuple[str, Sum]]:
        return ((group.currency, group.committed) for group in self._books.groups if group.place in places)

    def _is_off(self, parts: Iterator[tuple[str, Sum]]) -> bool:
        by_currency = added(parts)
        events = sum(part.count for part in by_currency.values())
        return events > self._subject.count_tolerance or any(self._is_too_much(part) for part in by_currency.values())

    def _is_too_much(self, part: Sum) -> bool:
        return part.amount.copy_abs() > self._subject.amount_tolerance


def _tells_currencies(sums: Sums) -> bool:
    # Who has nothing at all has nothing of each.
    return not sums or any(currency not in ("", "?") for currency in sums)
