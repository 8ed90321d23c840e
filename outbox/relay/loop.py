"""The relay: reads batch by batch, publishes page by page, and moves the cursor behind the confirms.

Invariants: an event is passed by the cursor only when it is confirmed by the broker or recorded as rejected; the cursor
in the database never runs ahead of the one in memory; a save carries the epoch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from outbox.model.cursor import Batch, Cursor, Lead, Page, PageLimits
from outbox.model.envelope import Envelope, RefusedEvent
from outbox.model.lifecycle import (
    CaughtUp,
    CursorSaved,
    EventRejected,
    LeadTaken,
    PagePublished,
    Report,
    StandingBy,
)
from outbox.supervisor import Pulse, Stop


class _Session(Protocol):
    """The database as the relay needs it; losing the session is losing the lead."""

    async def try_lead(self) -> Lead | None: ...
    async def begin_batch(self, cursor: Cursor) -> Batch: ...
    async def read_page(self, cursor: Cursor, batch: Batch, after: int) -> Page: ...
    async def save(self, lead: Lead, cursor: Cursor) -> None: ...
    async def reject(self, event: RefusedEvent) -> None: ...
    async def waiting(self, count_up_to: int) -> tuple[int, float]: ...


class _Store(Protocol):
    """Opens sessions on one stream."""

    @property
    def stream(self) -> str: ...
    def session(self) -> AbstractAsyncContextManager[_Session]: ...


class _Publisher(Protocol):
    """The broker as the relay needs it. Both calls return only when everything is confirmed and stored."""

    async def publish(self, events: Sequence[Envelope]) -> None: ...
    async def publish_rejected(self, event: RefusedEvent) -> None: ...


class _Broker(Protocol):
    """Opens publishers; declares the topology first."""

    def publisher(self) -> AbstractAsyncContextManager[_Publisher]: ...


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """How the relay paces itself."""

    limits: PageLimits
    poll_busy_seconds: float = 0.001
    poll_idle_seconds: float = 0.05
    save_every_seconds: float = 1.0
    standby_poll_seconds: float = 1.0
    is_draining: bool = False


class Relay:
    """One stream's relay. Several may run; one leads."""

    def __init__(self, store: _Store, broker: _Broker, settings: RelaySettings, report: Report) -> None:
        self._store = store
        self._broker = broker
        self._settings = settings
        self._report = report

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Publish until stopped; with ``is_draining``, until everything committed is confirmed.

        Raises:
            Unavailable: the database or the broker is away.
            LeaseLost: another relay leads.
            Misconfigured: a person must act.
        """
        async with self._store.session() as session:
            lead = await self._wait_for_lead(session, stop, pulse)
            if lead is None:
                return
            self._report(LeadTaken(self._store.stream, lead.epoch, lead.cursor.previous, lead.timeline_changed_from))
            async with self._broker.publisher() as publisher:
                pulse.establish()
                leader = _Leader(self._store.stream, session, publisher, lead, self._settings, self._report)
                await leader.run(stop, pulse)

    async def _wait_for_lead(self, session: _Session, stop: Stop, pulse: Pulse) -> Lead | None:
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
        session: _Session,
        publisher: _Publisher,
        lead: Lead,
        settings: RelaySettings,
        report: Report,
    ) -> None:
        self._stream = stream
        self._session = session
        self._publisher = publisher
        self._lead = lead
        self._settings = settings
        self._report = report
        self._cursor = lead.cursor
        self._saved = lead.cursor
        self._saved_at = time.monotonic()
        self._has_published_since_save = False

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        pause_seconds = self._settings.poll_busy_seconds
        while not stop.is_set():
            pulse.beat()
            batch = await self._session.begin_batch(self._cursor)
            self._cursor = self._cursor.begun(batch.current)
            if batch.is_empty():
                self._cursor = self._cursor.finished()
                self._report(CaughtUp(self._stream))
                if self._settings.is_draining:
                    break
                await self._save_when_due()
                await stop.pause(pause_seconds)
                pause_seconds = min(pause_seconds * 2, self._settings.poll_idle_seconds)
            else:
                await self._publish(batch, stop, pulse)
                pause_seconds = self._settings.poll_busy_seconds
        if self._cursor != self._saved:
            await self._save()

    async def _publish(self, batch: Batch, stop: Stop, pulse: Pulse) -> None:
        """Publish one batch; the next page is read while the last one is being confirmed."""
        after = self._cursor.position
        is_complete = False
        async with asyncio.TaskGroup() as group:
            under_way: tuple[Page, asyncio.Task[float]] | None = None
            while not is_complete and not stop.is_set():
                pulse.beat()
                page = await self._session.read_page(self._cursor, batch, after)
                if under_way is not None:
                    await self._pass(*under_way)
                    under_way = None
                if page.events:
                    after = page.last_sequence()
                    under_way = page, group.create_task(self._send(page))
                is_complete = page.is_last(self._settings.limits)
            if under_way is not None:
                await self._pass(*under_way)
        if is_complete:
            self._cursor = self._cursor.finished()

    async def _send(self, page: Page) -> float:
        """Send a page and return after how many seconds all of it was confirmed."""
        started_at = time.monotonic()
        envelopes = [event for event in page.events if isinstance(event, Envelope)]
        if envelopes:
            await self._publisher.publish(envelopes)
        for event in page.events:
            if isinstance(event, RefusedEvent):
                await self._publisher.publish_rejected(event)
        return time.monotonic() - started_at

    async def _pass(self, page: Page, sending: asyncio.Task[float]) -> None:
        """Move the cursor behind a page, once it is confirmed and its refused events are recorded."""
        confirm_seconds = await sending
        refused = [event for event in page.events if isinstance(event, RefusedEvent)]
        for event in refused:
            await self._session.reject(event)
            self._report(EventRejected(self._stream, event.message_id, event.sequence, event.reason))
        self._cursor = self._cursor.advanced(page.last_sequence())
        self._has_published_since_save = True
        self._report(
            PagePublished(
                self._stream,
                len(page.events) - len(refused),
                page.last_sequence(),
                page.oldest_age_seconds,
                confirm_seconds,
            )
        )
        await self._save_when_due()

    async def _save_when_due(self) -> None:
        if self._has_published_since_save and (time.monotonic() - self._saved_at >= self._settings.save_every_seconds):
            await self._save()

    async def _save(self) -> None:
        cursor = self._cursor
        await self._session.save(self._lead, cursor)
        self._saved = cursor
        self._saved_at = time.monotonic()
        self._has_published_since_save = False
        self._report(CursorSaved(self._stream, cursor.position))
