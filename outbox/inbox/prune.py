"""Forgets deliveries that no copy of their message can come for any more."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from outbox.model.flow_events import DeliveriesForgotten
from outbox.model.lifecycle import Report
from outbox.supervisor import Pulse, Stop

# Small enough to hold up nobody, and to be no burden for what replicates the database.
_BATCH = 1_000
_PAUSE_SECONDS = 0.2
_EVERY_SECONDS = 60.0


class _Session(Protocol):
    async def prune(self, keep_seconds: float, after: int, most: int) -> tuple[int, int | None]: ...


class _Store(Protocol):
    def session(self) -> AbstractAsyncContextManager[_Session]: ...


class Pruner:
    """Keeps the memory of the inbox as long as it has to be. Several may run: what is gone is gone."""

    def __init__(self, store: _Store, *, keep_seconds: float, report: Report) -> None:
        self._store = store
        self._keep_seconds = keep_seconds
        self._report = report

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Look every minute until stopped.

        Raises:
            Unavailable: the database is away.
        """
        while not stop.is_set():
            async with self._store.session() as session:
                pulse.establish()
                await self._prune(session, stop, pulse)
            await stop.pause(_EVERY_SECONDS)

    async def _prune(self, session: _Session, stop: Stop, pulse: Pulse) -> None:
        after: int | None = 0
        while after is not None and not stop.is_set():
            pulse.beat()
            forgotten, after = await session.prune(self._keep_seconds, after, _BATCH)
            if forgotten:
                self._report(DeliveriesForgotten(forgotten))
                await stop.pause(_PAUSE_SECONDS)
