"""Copies dead deliveries to the dead-letter queue, where RabbitMQ's own tools show them. The inbox row is the truth.

When a delivery is resolved, its copy is taken out again. Which copies may have to go is in the database, so whoever
resolved it can be killed at once; whether a copy has to go is judged by the delivery's row, for each copy that is seen.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from outbox.inbox.lanes import Ownership
from outbox.model.dead_copies import CopiesRemoved, CopiesStay, Copy, Note, Swept
from outbox.model.errors import Misconfigured
from outbox.model.inbox import DeadLetter
from outbox.model.lifecycle import DeadLetterPublished, Report
from outbox.supervisor import Pulse, Stop

_MAX_BATCH = 100
_POLL_SECONDS = 0.5
# A walk through a long queue costs the broker each message of it: walks take up at most a tenth of the time, and what
# is resolved one by one meanwhile is taken out together.
_REST_TIMES = 9
_REFUSED_REST_SECONDS = 60.0
_OUTDATED_AT_ONCE = 100_000


class _Session(Protocol):
    """The inbox as the dead-letter publisher needs it."""

    async def dead_letters(self, owner: str, wanted: int) -> list[DeadLetter]: ...
    async def dead_letters_published(self, letters: Sequence[DeadLetter]) -> None: ...
    async def outdated_copies(self, owner: str, wanted: int) -> list[Note]: ...
    async def judge_copies(self, copies: Sequence[Copy]) -> list[bool]: ...
    async def forget_copies(self, notes: Sequence[Note]) -> None: ...


class _Store(Protocol):
    """Opens sessions."""

    def session(self, flow: str) -> AbstractAsyncContextManager[_Session]: ...


class _Publisher(Protocol):
    """The broker; returns when every copy is confirmed and in its queue."""

    async def publish_dead(self, letters: Sequence[DeadLetter]) -> None: ...


class _Broker(Protocol):
    """Opens publishers."""

    def publisher(self) -> AbstractAsyncContextManager[_Publisher]: ...


class _Queue(Protocol):
    """The flow's dead-letter queue; takes out what is judged to be outdated, and leaves the rest in its place."""

    async def sweep(
        self, judge: Callable[[Sequence[Copy]], Awaitable[Sequence[bool]]], goes_on: Callable[[], bool]
    ) -> Swept: ...


class DeadLetterPublisher:
    """One flow's copies. A crash between confirm and note repeats a copy under the same message id."""

    def __init__(
        self, flow: str, store: _Store, broker: _Broker, queue: _Queue, ownership: Ownership, report: Report
    ) -> None:
        self._flow = flow
        self._store = store
        self._broker = broker
        self._queue = queue
        self._ownership = ownership
        self._report = report
        self._rests_until = 0.0

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Publish and remove copies until stopped.

        Raises:
            Unavailable: the database or the broker is away.
        """
        async with self._store.session(self._flow) as session, self._broker.publisher() as publisher:
            pulse.establish()
            while not stop.is_set():
                pulse.beat()
                letters = await session.dead_letters(self._ownership.owner, _MAX_BATCH)
                if not letters:
                    await self._sweep(session, stop, pulse)
                    await stop.pause(_POLL_SECONDS)
                    continue
                await publisher.publish_dead(letters)
                await session.dead_letters_published(letters)
                for letter in letters:
                    self._report(DeadLetterPublished(self._flow, letter.message_id, letter.reason))

    async def _sweep(self, session: _Session, stop: Stop, pulse: Pulse) -> None:
        if time.monotonic() < self._rests_until:
            return
        outdated = await session.outdated_copies(self._ownership.owner, _OUTDATED_AT_ONCE)
        if not outdated:
            return

        def goes_on() -> bool:
            pulse.beat()
            return not stop.is_set()

        began_at = time.monotonic()
        try:
            swept = await self._queue.sweep(session.judge_copies, goes_on)
        except Misconfigured as error:
            # A permission that is missing for this must not keep dead letters from being told.
            self._report(CopiesStay(self._flow, str(error)))
            self._rests_until = time.monotonic() + _REFUSED_REST_SECONDS
            return
        seconds = time.monotonic() - began_at
        self._rests_until = time.monotonic() + _REST_TIMES * seconds
        if swept.is_complete:
            # All that were noted before the walk: they were found, or are somewhere else by now.
            await session.forget_copies(outdated)
        self._report(CopiesRemoved(self._flow, swept.removed, swept.left, seconds))
