"""Copies dead deliveries to the dead-letter queue, where RabbitMQ's own tools show them. The inbox row is the truth."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from outbox.inbox.lanes import Ownership
from outbox.model.inbox import DeadLetter
from outbox.model.lifecycle import DeadLetterPublished, Report
from outbox.supervisor import Pulse, Stop

_MAX_BATCH = 100
_POLL_SECONDS = 0.5


class _Session(Protocol):
    """The inbox as the dead-letter publisher needs it."""

    async def dead_letters(self, owner: str, wanted: int) -> list[DeadLetter]: ...
    async def dead_letters_published(self, ids: Sequence[int]) -> None: ...


class _Store(Protocol):
    """Opens sessions."""

    def session(self, flow: str) -> AbstractAsyncContextManager[_Session]: ...


class _Publisher(Protocol):
    """The broker; returns when every copy is confirmed and in its queue."""

    async def publish_dead(self, letters: Sequence[DeadLetter]) -> None: ...


class _Broker(Protocol):
    """Opens publishers."""

    def publisher(self) -> AbstractAsyncContextManager[_Publisher]: ...


class DeadLetterPublisher:
    """One flow's copies. A crash between confirm and note repeats a copy under the same message id."""

    def __init__(self, flow: str, store: _Store, broker: _Broker, ownership: Ownership, report: Report) -> None:
        self._flow = flow
        self._store = store
        self._broker = broker
        self._ownership = ownership
        self._report = report

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Publish copies until stopped.

        Raises:
            Unavailable: the database or the broker is away.
        """
        async with self._store.session(self._flow) as session, self._broker.publisher() as publisher:
            pulse.establish()
            while not stop.is_set():
                pulse.beat()
                letters = await session.dead_letters(self._ownership.owner, _MAX_BATCH)
                if not letters:
                    await stop.pause(_POLL_SECONDS)
                    continue
                await publisher.publish_dead(letters)
                await session.dead_letters_published([letter.id for letter in letters])
                for letter in letters:
                    self._report(DeadLetterPublished(self._flow, letter.message_id, letter.reason))
