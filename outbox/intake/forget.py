"""Forgets names whose time is over, and the oldest refused requests: a thousand at a time, without waiting."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from outbox.model.intake_events import IntakeForgot
from outbox.model.lifecycle import Report
from outbox.supervisor import Pulse, Stop

# Small enough to hold up nobody, and to be no burden for what replicates the database.
_BATCH = 1_000
_PAUSE_SECONDS = 0.05
_EVERY_SECONDS = 60.0


class _Session(Protocol):
    async def prune_received(self, most: int) -> int: ...
    async def prune_refused(self, keep_rows: int, keep_seconds: float, most: int) -> int: ...


class _Store(Protocol):
    def session(self) -> AbstractAsyncContextManager[_Session]: ...


class Forgetter:
    """A supervised service. Several may run: what is gone is gone."""

    def __init__(self, store: _Store, *, refused_rows: int, refused_seconds: float, report: Report) -> None:
        self._store = store
        self._refused_rows = refused_rows
        self._refused_seconds = refused_seconds
        self._report = report

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Look every minute until stopped.

        Raises:
            Unavailable: the database is away.
        """
        while not stop.is_set():
            async with self._store.session() as session:
                pulse.establish()
                is_more = True
                while is_more and not stop.is_set():
                    pulse.beat()
                    names = await session.prune_received(_BATCH)
                    refusals = await session.prune_refused(self._refused_rows, self._refused_seconds, _BATCH)
                    if names or refusals:
                        self._report(IntakeForgot(names, refusals))
                    is_more = _BATCH in (names, refusals)
                    if is_more:
                        await stop.pause(_PAUSE_SECONDS)
            await stop.pause(_EVERY_SECONDS)
