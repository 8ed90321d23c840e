"""The relay: reads batch by batch, publishes page by page, and moves the cursor behind the confirms.

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

from outbox.model.cursor import Batch, Lead, Page, PageLimits
from outbox.model.envelope import Envelope, RefusedEvent
from outbox.model.errors import OutboxError, Unavailable
from outbox.model.lifecycle import (
    CaughtUp,
    CursorSaved,
    EventRejected,
    LeadTaken,
    PagePublished,
    Report,
    SendingAgain,
    StandingBy,
)
from outbox.relay.guard import Guard
from outbox.relay.lease import held
from outbox.relay.memory import Memory
from outbox.relay.pace import finished
from outbox.relay.ports import Broker, Publisher, Session, Store
from outbox.supervisor import Pulse, Stop

# One page is confirmed by the broker while the next is on its way to it, and a third is read from the database.
_PAGES_UNDER_WAY = 2


@dataclass(frozen=True, slots=True)
class _Sent:
    """The end of a page: what the broker will never take, and after how long the rest was confirmed."""

    refused: Sequence[RefusedEvent]
    confirm_seconds: float


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """How the relay paces itself."""

    limits: PageLimits
    poll_busy_seconds: float = 0.001
    poll_idle_seconds: float = 0.075
    save_every_seconds: float = 1.0
    standby_poll_seconds: float = 1.0
    look_at_unrouted_every_seconds: float = 30.0
    is_draining: bool = False


class Relay:
    """One stream's relay. Several may run; one leads."""

    def __init__(self, store: Store, broker: Broker, settings: RelaySettings, report: Report) -> None:
        self._store = store
        self._broker = broker
        self._settings = settings
        self._report = report
        self._begin_anew = asyncio.Event()
        # Outlives sessions: after a failover it knows what the database may have lost.
        self._memory = Memory()

    def reconnect(self) -> None:
        """Give up what is under way and begin anew; for whoever sees that nothing moves."""
        self._begin_anew.set()

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Publish until stopped; with ``is_draining``, until everything committed is confirmed.

        Raises:
            Unavailable: the database or the broker is away.
            LeaseLost: another relay leads.
            Misconfigured: a person must act, for example because the database was restored (CursorUncertain).
        """
        self._begin_anew.clear()
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._until_begun_anew())
            await self._stand_by_and_lead(stop, pulse)
            watch.cancel()

    async def _until_begun_anew(self) -> None:
        await self._begin_anew.wait()
        raise Unavailable("the relay", "nothing moved although events wait")

    async def _stand_by_and_lead(self, stop: Stop, pulse: Pulse) -> None:
        async with self._store.session() as holder:
            lead = await self._wait_for_lead(holder, stop, pulse)
            if lead is None:
                return
            self._report(LeadTaken(self._store.stream, lead.epoch, lead.cursor.previous))
            async with held(holder, lead, self._store.lease_seconds):
                await self._lead(lead, stop, pulse)

    async def _lead(self, lead: Lead, stop: Stop, pulse: Pulse) -> None:
        # A session of its own: a statement that takes long must not hold up the renewal of the lease.
        async with self._store.session() as session, self._broker.publisher() as publisher:
            guard = Guard(self._store.stream, lead, session, publisher, self._memory, self._report)
            await guard.verify()
            pulse.establish()
            leader = _Leader(self._store.stream, session, publisher, lead, self._settings, self._report, guard)
            await leader.run(stop, pulse)

    async def _wait_for_lead(self, session: Session, stop: Stop, pulse: Pulse) -> Lead | None:
        is_standing_by = False
        while not stop.is_set():
            pulse.beat()
            if lead := await session.try_lead():
                return lead
            pulse.establish()
            if not is_standing_by:
                self._report(StandingBy(self._store.stream))
                is_standing_by = True
            if self._settings.is_draining and (await session.waiting(1))[0] == 0:
                return None
            await stop.pause(self._settings.standby_poll_seconds)
        return None


class _Leader:
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
        self._cursor = lead.cursor
        self._saved = lead.cursor
        self._saved_at = time.monotonic()
        self._under_way: deque[tuple[Page, asyncio.Task[_Sent]]] = deque()
        self._is_worth_saving = False
        self._floor = 0
        self._looked_at = time.monotonic()

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        try:
            await self._publish_until(stop, pulse)
        except (OutboxError, ExceptionGroup):
            if self._under_way:
                self._report(SendingAgain(self._stream, sum(len(page.events) for page, _ in self._under_way)))
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
            batch = await self._session.begin_batch(self._cursor)
            self._cursor = self._cursor.begun(batch.current)
            if batch.floor > self._floor:
                # A partition is passed, also while nothing is published; its retention waits for the saved cursor.
                self._floor = batch.floor
                self._is_worth_saving = True
            if batch.is_empty() or not await self._publish(batch, stop, pulse):
                self._cursor = self._cursor.finished()
                self._report(CaughtUp(self._stream))
                if self._settings.is_draining and batch.is_empty():
                    await self._look()
                    break
                await self._do_what_is_due(pulse)
                await stop.pause(pause_seconds)
                pause_seconds = min(pause_seconds * 2, self._settings.poll_idle_seconds)
            else:
                pause_seconds = self._settings.poll_busy_seconds

    async def _publish(self, batch: Batch, stop: Stop, pulse: Pulse) -> bool:
        """Publish one batch; the next page is read while the last ones are being confirmed.

        Returns:
            False when the whole batch has no event of this lane: other lanes' are in it.
        """
        has_events = False
        after = batch.start(self._cursor.position)
        is_complete = False
        under_way = self._under_way
        async with asyncio.TaskGroup() as group:
            while not is_complete and not stop.is_set():
                pulse.beat()
                page = await self._session.read_page(self._cursor, batch, after)
                if len(under_way) == _PAGES_UNDER_WAY:
                    await self._pass_first(pulse)
                has_events = has_events or bool(page.events)
                if page.events or page.reach is not None:
                    after = page.last_sequence()
                    under_way.append((page, group.create_task(self._send(page))))
                is_complete = page.is_last(self._settings.limits)
            while under_way:
                await self._pass_first(pulse)
        if not is_complete:
            return True
        if not has_events:
            # Nothing else would keep the cursor of a lane without events near the others'.
            self._is_worth_saving = True
            return False
        self._cursor = self._cursor.finished()
        return True

    async def _send(self, page: Page) -> _Sent:
        """Send a page and return when all of it is confirmed."""
        started_at = time.monotonic()
        refused = [event for event in page.events if isinstance(event, RefusedEvent)]
        if len(refused) < len(page.events):
            refused += await self._publisher.publish([event for event in page.events if isinstance(event, Envelope)])
        for event in refused:
            await self._publisher.publish_rejected(event)
        return _Sent(refused, time.monotonic() - started_at)

    async def _pass_first(self, pulse: Pulse) -> None:
        """Move the cursor behind the first page under way, once it is confirmed and its refused events are recorded."""
        page, sending = self._under_way[0]
        sent = await finished(sending, pulse)
        self._guard.note(page, sent.refused)
        for event in sent.refused:
            await self._session.reject(event)
            self._report(EventRejected(self._stream, event.message_id, event.sequence, event.reason))
        self._under_way.popleft()
        self._cursor = self._cursor.advanced(page.last_sequence())
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
        await self._do_what_is_due(pulse)

    async def _do_what_is_due(self, pulse: Pulse) -> None:
        if self._is_worth_saving and (time.monotonic() - self._saved_at >= self._settings.save_every_seconds):
            await self._save()
            await self._guard.tell(pulse)
        if time.monotonic() - self._looked_at >= self._settings.look_at_unrouted_every_seconds:
            await self._look()

    async def _save_changes(self) -> None:
        if self._cursor != self._saved:
            await self._save()

    async def _look(self) -> None:
        """Tell what nobody has bound; nothing else would, because an alternate exchange takes it silently."""
        await self._publisher.look_at_unrouted()
        self._looked_at = time.monotonic()

    async def _save(self) -> None:
        cursor = self._cursor
        await self._session.save(self._lead, cursor)
        self._saved = cursor
        self._saved_at = time.monotonic()
        self._is_worth_saving = False
        self._report(CursorSaved(self._stream, cursor.position))
