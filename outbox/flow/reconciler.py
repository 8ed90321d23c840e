"""Reconciles a flow: reads the books, asks the target, compares; window by window when it is time.

The books are read first: what was applied by then must be at the target, and what comes meanwhile is in excess there,
never missing. It changes nothing that is reconciled, and holds no transaction open: a page is a statement.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from outbox.flow.reconcile import compare
from outbox.flow.reconcile_names import MOST_LISTED
from outbox.model.lifecycle import Report
from outbox.model.outcome import Configuration, NotTold
from outbox.model.reconcile_events import Reconciled, TotalsGivenUp, TotalsUntold
from outbox.model.reconciliation import (
    ON_THE_WAY,
    UNEXPLAINED,
    BookPage,
    Books,
    Entry,
    Group,
    Place,
    Reconciliation,
    Schedule,
    Subject,
    Task,
)
from outbox.model.totals import Sums, TargetPage, TargetPages, TargetTotals, Window
from outbox.supervisor import Pulse, Stop

# What is compared by name is held in memory: some hundred bytes each.
MOST_NAMES = 100_000
# A page of the target may take as long as a connection's time-out, and the books one statement.
_LEASE_SECONDS = 300.0
_LONGEST_PAUSE_SECONDS = 60.0


class Asked(Protocol):
    """The target, as it is asked what it has."""

    async def totals(self, window: Window, page: str | None, *, leave_by: float) -> TargetPage | NotTold | None:
        """See `outbox.model.adapter.Adapter.totals`."""
        ...


class BookSession(Protocol):
    """The books: where the events of a window stand."""

    async def now(self) -> datetime:
        """Return the database's time."""
        ...

    async def source(self, subject: Subject, window: Window) -> Sums:
        """Ask the ERP's own tables."""
        ...

    async def range(self, window: Window) -> tuple[int, int, bool]:
        """Return between which ids the events of a window are, and whether retention has removed some of them."""
        ...

    async def page(
        self, subject: Subject, window: Window, *, after: int, upto: int, with_applied: bool, most_listed: int
    ) -> BookPage | None:
        """Return the next events; None: there are no more."""
        ...


class TaskSession(BookSession, Protocol):
    """The books, and who looks at which window."""

    async def begin(self, flow: str, schedule: Schedule, lease_seconds: float) -> Task | None:
        """Take the next window that is due."""
        ...

    async def give_up(self, flow: str, schedule: Schedule) -> Sequence[Window]:
        """End what was begun, is too old to be made good, and nobody has."""
        ...

    async def renew(self, task: Task, lease_seconds: float) -> bool:
        """Keep it; False: another process has it."""
        ...

    async def end(self, task: Task, result: Reconciliation) -> bool:
        """Store what came of it; False: another process has it."""
        ...


class TaskStore(Protocol):
    """Opens sessions."""

    def session(self) -> AbstractAsyncContextManager[TaskSession]:
        """Open a connection for the length of the block."""
        ...


async def reconcile(
    subject: Subject, window: Window, books: BookSession, target: Asked, progress: Callable[[], Awaitable[None]]
) -> Reconciliation | NotTold:
    """Return what a window comes to, or why the target could not be asked.

    ``progress`` is called between two steps, each of which is bounded.

    Raises:
        Unavailable: the database is away.
        Misconfigured: the settings' query is wrong.
    """
    read = await read_books(subject, window, books, progress)
    asked = await _ask(replace(window, seen_at=await books.now()), target, progress)
    return asked if isinstance(asked, NotTold) else compare(subject, window, read, asked)


async def read_books(
    subject: Subject, window: Window, books: BookSession, progress: Callable[[], Awaitable[None]]
) -> Books:
    """Return where the events of a window stand.

    Raises:
        Unavailable: the database is away.
        Misconfigured: the settings' query is wrong.
    """
    source = await books.source(subject, window) if subject.query is not None else None
    after, upto, is_cut = await books.range(window)
    groups: list[Group] = []
    entries: list[Entry] = []
    applied: list[Entry] | None = []
    while True:
        await progress()
        page = await books.page(
            subject,
            window,
            after=after,
            upto=upto,
            with_applied=applied is not None,
            most_listed=MOST_LISTED - len(entries),
        )
        if page is None:
            return Books(groups, entries, applied, source, is_cut)
        after = page.looked_up_to
        groups += page.groups
        entries += [entry for entry in page.entries if entry.place is not Place.APPLIED]
        if applied is not None:
            applied += [entry for entry in page.entries if entry.place is Place.APPLIED]
            applied = applied if len(applied) <= MOST_NAMES else None


async def _ask(window: Window, target: Asked, progress: Callable[[], Awaitable[None]]) -> TargetTotals | NotTold | None:
    pages, wanted = TargetPages(), None
    while True:
        await progress()
        page = await target.totals(window, wanted, leave_by=math.inf)
        if page is None or isinstance(page, NotTold):
            return page
        try:
            wanted = pages.add(page)
        except ValueError as error:
            return NotTold(Configuration(f"adapter.totals: {error}"))
        if pages.records() > MOST_NAMES:
            return NotTold(Configuration(f"adapter.totals: the window has more than {MOST_NAMES} records; shorten it"))
        if wanted is None:
            return pages.total()


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom to tell, and where it is written what to do."""

    name: str | None = None
    runbook: str | None = None


class _GivenUp(Exception):
    """Another process has the window, or this one stops."""


class Reconciler:
    """One flow, window by window. Several processes may run it: a window is one's at a time."""

    def __init__(
        self, subject: Subject, schedule: Schedule, store: TaskStore, target: Asked, owner: Owner, report: Report
    ) -> None:
        self._subject = subject
        self._schedule = schedule
        self._store = store
        self._target = target
        self._owner = owner
        self._report = report

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Look until stopped whether a window is due.

        Raises:
            Unavailable: the database is away.
        """
        pause_seconds = min(_LONGEST_PAUSE_SECONDS, self._schedule.every_seconds / 4)
        while not stop.is_set():
            pulse.beat()
            async with self._store.session() as session:
                pulse.establish()
                for window in await session.give_up(self._subject.flow, self._schedule):
                    self._report(self._given_up(window))
                while not stop.is_set() and await self._next(session, stop, pulse):
                    pulse.beat()
            await stop.pause(pause_seconds)

    async def _next(self, session: TaskSession, stop: Stop, pulse: Pulse) -> bool:
        """Do the next window that is due; False when there is none, or it cannot be done now."""
        task = await session.begin(self._subject.flow, self._schedule, _LEASE_SECONDS)
        if task is None:
            return False

        async def progress() -> None:
            pulse.beat()
            if stop.is_set() or not await session.renew(task, _LEASE_SECONDS):
                # Nothing was changed: whoever has it, or takes it when its lease is over, begins it anew.
                raise _GivenUp

        try:
            result = await reconcile(self._subject, task.window, session, self._target, progress)
            await progress()
        except _GivenUp:
            return False
        if isinstance(result, NotTold):
            # Asked again when the lease is over, and meanwhile the next one: nobody knows yet what this one comes to.
            self._report(TotalsUntold(self._subject.flow, _text(task.window.since), result.outcome.reason))
            return False
        # Told before it is stored: killed in between, it is told twice, and not never.
        self._tell(result)
        await session.end(task, result)
        return True

    def _given_up(self, window: Window) -> TotalsGivenUp:
        since, until = _text(window.since), _text(window.until)
        return TotalsGivenUp(self._subject.flow, since, until, self._owner.name, self._owner.runbook)

    def _tell(self, result: Reconciliation) -> None:
        self._report(
            Reconciled(
                flow=result.flow,
                since=_text(result.window.since),
                until=_text(result.window.until),
                verdict=result.verdict,
                committed=result.count("committed") or 0,
                published=result.count("published") or 0,
                applied=result.count("applied") or 0,
                at_target=result.count("target"),
                unexplained=sum(result.counts.get(place, 0) for place in UNEXPLAINED),
                on_the_way=sum(result.counts.get(place, 0) for place in ON_THE_WAY),
                owner=self._owner.name,
                runbook=self._owner.runbook,
            )
        )


def _text(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
