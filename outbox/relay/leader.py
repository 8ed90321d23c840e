"""The time of one lead: reads batch by batch, sends page by page, and moves the cursor behind the confirms.

Invariants: an event is passed by the cursor only when it is confirmed by the broker or recorded as rejected; the cursor
in the database never runs ahead of the one in memory; a save carries the epoch.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from outbox.model.contract_events import DeprecatedPublished
from outbox.model.cursor import Batch, Cursor, Lead, Page, PageLimits
from outbox.model.envelope import RefusedEvent
from outbox.model.errors import OutboxError
from outbox.model.lifecycle import CaughtUp, CursorSaved, EventRejected, PagePublished, Report, SendingAgain
from outbox.relay.guard import Guard
from outbox.relay.judge import deprecated, judged
from outbox.relay.pace import finished
from outbox.relay.ports import Contracts, Publisher, Session
from outbox.supervisor import Pulse, Stop

# One page is confirmed by the broker while the next is on its way to it, and a third is read from the database.
_PAGES_UNDER_WAY = 2
# After a pause without news the next is longer by this much: coming late costs a third of the silence, at most.
_PAUSE_GROWTH = 1.5


@dataclass(frozen=True, slots=True)
class _Sent:
    """The end of a page: what may not or cannot be sent, and after how long the rest was confirmed."""

    refused: Sequence[RefusedEvent]
    confirm_seconds: float
    deprecated: Sequence[DeprecatedPublished] = ()


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A page on its way to the broker. ``published``: how far everything is published as long as this page is not."""

    published: Cursor
    page: Page
    sending: asyncio.Task[_Sent]


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """How the relay paces itself, and what it lets through (``contracts``; None: everything)."""

    limits: PageLimits
    poll_busy_seconds: float = 0.001
    poll_idle_seconds: float = 0.075
    save_every_seconds: float = 1.0
    standby_poll_seconds: float = 1.0
    look_at_unrouted_every_seconds: float = 30.0
    is_draining: bool = False
    contracts: Contracts | None = None


class Leader:
    """The time between taking the lead and losing it."""

    def __init__(
        self,
        stream: str,
        session: Session,
        publisher: Publisher,
        lead: Lead,
        settings: RelaySettings,
        report: Report,
        guard: Guard,
    ) -> None:
        self._stream = stream
        self._session = session
        self._publisher = publisher
        self._lead = lead
        self._settings = settings
        self._report = report
        self._guard = guard
        # How far the outbox is read; what is published is behind it by the pages under way.
        self._reading = lead.cursor
        self._under_way: deque[_UnderWay] = deque()
        # What the broker has not answered yet; nothing here waits for it while there is something to read.
        self._tasks: asyncio.TaskGroup
        self._telling: asyncio.Task[None] | None = None
        self._saved = lead.cursor
        self._saved_at = time.monotonic()
        self._is_worth_saving = False
        self._floor = 0
        self._looked_at = time.monotonic()

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Publish until stopped; with ``is_draining``, until everything committed is confirmed.

        Raises:
            ExceptionGroup: of what ended it; what was confirmed before is saved if the database can be reached.
        """
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await self._publish_until(stop, pulse)
        except ExceptionGroup:
            if self._under_way:
                self._report(SendingAgain(self._stream, sum(len(one.page.events) for one in self._under_way)))
            # The broker may be away while the database is not: what is confirmed need not be sent again.
            with suppress(OutboxError):
                await self._save_changes()
            raise
        await self._save_changes()
        await self._guard.tell_at_the_end()

    async def _publish_until(self, stop: Stop, pulse: Pulse) -> None:
        await self._look()
        pause_seconds = self._settings.poll_busy_seconds
        while not stop.is_set():
            pulse.beat()
            # Before looking: what is committed during the wait belongs to this batch, too.
            await self._make_room(pulse)
            batch = await self._session.begin_batch(self._reading)
            self._reading = self._reading.begun(batch.current)
            if batch.floor > self._floor:
                # A partition is passed, also while nothing is published; its retention waits for the saved cursor.
                self._floor = batch.floor
                self._is_worth_saving = True
            if await self._read(batch, stop, pulse):
                pause_seconds = self._settings.poll_busy_seconds
            elif self._settings.is_draining and batch.is_empty():
                break
            else:
                await self._rest(pause_seconds, stop, pulse)
                pause_seconds = min(pause_seconds * _PAUSE_GROWTH, self._settings.poll_idle_seconds)
        while self._under_way:
            await self._pass_first(pulse)
        if self._settings.is_draining:
            await self._look()

    async def _read(self, batch: Batch, stop: Stop, pulse: Pulse) -> bool:
        """Read a batch to its end and send its pages; the last of them are still under way on return.

        Returns:
            False when it has no event of this lane.
        """
        if batch.is_empty():
            self._reading = self._reading.finished()
            return False
        has_events = False
        after = batch.start(self._reading.position)
        while not stop.is_set():
            pulse.beat()
            page = await self._session.read_page(self._reading, batch, after)
            await self._make_room(pulse)
            if page.events or page.reach is not None:
                has_events = has_events or bool(page.events)
                after = page.last_sequence()
                self._under_way.append(_UnderWay(self._reading, page, self._tasks.create_task(self._send(page))))
                self._reading = self._reading.advanced(after)
            if page.is_last(self._settings.limits):
                self._reading = self._reading.finished()
                # Nothing else would keep the cursor of a lane without events near the others'.
                self._is_worth_saving = self._is_worth_saving or not has_events
                return has_events
        return True

    async def _rest(self, seconds: float, stop: Stop, pulse: Pulse) -> None:
        """Wait until it is worth looking again, and notice confirms meanwhile."""
        if self._under_way:
            await asyncio.wait((self._under_way[0].sending,), timeout=seconds)
            await self._make_room(pulse)
        else:
            self._report(CaughtUp(self._stream))
            await self._do_what_is_due()
            await stop.pause(seconds)

    async def _make_room(self, pulse: Pulse) -> None:
        """Pass the pages that are confirmed, and wait for the first one while there are as many as may be."""
        while self._under_way and (len(self._under_way) == _PAGES_UNDER_WAY or self._under_way[0].sending.done()):
            await self._pass_first(pulse)

    async def _send(self, page: Page) -> _Sent:
        """Send a page and return when all of it is confirmed."""
        started_at = time.monotonic()
        sendable, refused = judged(page.events, self._settings.contracts)
        if sendable:
            refused += await self._publisher.publish(sendable)
        for event in refused:
            await self._publisher.publish_rejected(event)
        told = deprecated(sendable, self._stream, self._settings.contracts)
        return _Sent(refused, time.monotonic() - started_at, told)

    async def _pass_first(self, pulse: Pulse) -> None:
        """Let the cursor pass the first page under way, once it is confirmed and its refused events are recorded."""
        page = self._under_way[0].page
        sent = await finished(self._under_way[0].sending, pulse)
        self._guard.note(page, sent.refused)
        for event in sent.refused:
            await self._session.reject(event)
            self._report(EventRejected(self._stream, event.message_id, event.sequence, event.reason))
        for told in sent.deprecated:
            self._report(told)
        self._under_way.popleft()
        self._is_worth_saving = True
        if page.events:
            self._report(
                PagePublished(
                    self._stream,
                    len(page.events) - len(sent.refused),
                    page.last_sequence(),
                    page.oldest_age_seconds,
                    sent.confirm_seconds,
                )
            )
        await self._do_what_is_due()

    async def _do_what_is_due(self) -> None:
        if self._is_worth_saving and (time.monotonic() - self._saved_at >= self._settings.save_every_seconds):
            await self._save()
            if self._telling is None or self._telling.done():
                self._telling = self._tasks.create_task(self._guard.tell())
        if time.monotonic() - self._looked_at >= self._settings.look_at_unrouted_every_seconds:
            await self._look()

    async def _save_changes(self) -> None:
        if self._published() != self._saved:
            await self._save()

    def _published(self) -> Cursor:
        return self._under_way[0].published if self._under_way else self._reading

    async def _look(self) -> None:
        """Tell what nobody has bound; nothing else would, because an alternate exchange takes it silently."""
        await self._publisher.look_at_unrouted()
        self._looked_at = time.monotonic()

    async def _save(self) -> None:
        cursor = self._published()
        await self._session.save(self._lead, cursor)
        self._saved = cursor
        self._saved_at = time.monotonic()
        self._is_worth_saving = False
        self._report(CursorSaved(self._stream, cursor.position))
