"""Looks at everything that moves while the demo runs: for the screen, and to find moments full of work.

The figures here decide when something is killed, never what the verdict is.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from sandbox.changes import Changes
from sandbox.demo_audit import Audit
from sandbox.demo_programs import Program

# Ten looks a second would cost the programs under test a part of the two cores; two would make the screen jump.
_LOOK_EVERY_SECONDS = 0.2
_STATEMENT_SECONDS = 10.0
# A few looks: what has not grown for longer stands still.
_MOVING_SECONDS = 1.0
# Beyond any deadline of the demo, so that a wait ends even if everything else forgets to.
_WAIT_SECONDS = 180.0

_COUNT_APPLIED = "select count(*) from inbox.delivery where state = 'applied'"
_COUNT_UNSAVED = "select events from outbox.waiting('outbox.event', 10000)"
# A process is the owner of its lanes by its pid; what an earlier process left behind has an older epoch.
_COUNT_CALLS = """
    select count(*)
      from inbox.delivery d
      join inbox.lane l on l.flow = d.flow and l.lane = d.lane and l.epoch = d.lane_epoch
     where d.state = 'applying' and l.owner like '%:' || $1::text || '/%'
"""
_COUNT_RESOLVED = """
    select count(*)
      from inbox.attempt a
      join inbox.delivery d on d.id = a.delivery_id
     where a.outcome = 'unknown' and d.state = 'applied'
"""


@dataclass(slots=True)
class Figures:
    """How far everything is. ``on_the_wire`` counts messages, also repeated ones."""

    committed: int = 0
    rolled_back: int = 0
    on_the_wire: int = 0
    applied: int = 0
    effects: int = 0
    relay_kills: int = 0
    consumer_kills: int = 0
    rabbitmq_kills: int = 0


class Watch:
    """Keeps the figures fresh, and wakes those who wait for them."""

    def __init__(
        self,
        database: asyncpg.Connection,
        ledger: Path,
        audit: Audit,
        programs: Iterable[Program],
        *,
        on_look: Callable[[Figures], None],
    ) -> None:
        self.figures = Figures()
        self._changes = Changes()
        self._database = database
        self._ledger = ledger
        self._audit = audit
        self._programs = tuple(programs)
        self._on_look = on_look
        self._moves = 0
        self._wire_grew_at = float("-inf")
        self._done = asyncio.Event()
        # A connection runs one statement at a time; looks must not share the audit's connection either.
        self._statement = asyncio.Lock()
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Look again and again until `stop`.

        Raises:
            ProgramFailedError: a program has ended that nobody ended.
        """
        while not self._done.is_set():
            for program in self._programs:
                program.require_running()
            await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_SECONDS):
                    await self._done.wait()

    def stop(self) -> None:
        """End `run`."""
        self._done.set()

    async def look(self) -> None:
        """Look once."""
        async with self._looking:
            self.figures.effects = self.count_effects()
            self.figures.applied = await self._count(_COUNT_APPLIED)
            depth = await self._audit.depth()
            if depth is not None and depth > self.figures.on_the_wire:
                self.figures.on_the_wire = depth
                self._wire_grew_at = asyncio.get_running_loop().time()
        self._on_look(self.figures)
        self.wake()

    def note_orders(self, committed: int, rolled_back: int) -> None:
        """Take the ERP's totals."""
        self.figures.committed = committed
        self.figures.rolled_back = rolled_back
        self.wake()

    def note_broker_killed(self) -> None:
        """Take it that nothing reaches the wire until something does."""
        self._wire_grew_at = float("-inf")

    def wake(self) -> None:
        """Let every condition be looked at again."""
        self._moves += 1
        self._changes.notify()

    async def until(self, is_true: Callable[[], bool], *, within_seconds: float = _WAIT_SECONDS) -> None:
        """Wait for a condition over the figures; ``TimeoutError`` after the bound."""
        await self._changes.until(is_true, within_seconds=within_seconds)

    async def next_commit(self, is_over: Callable[[], bool]) -> None:
        """Wait until the ERP has committed another order, or until ``is_over``."""
        committed = self.figures.committed
        await self.until(lambda: is_over() or self.figures.committed > committed)

    async def next_change(self, is_over: Callable[[], bool]) -> None:
        """Wait until something has happened, or until ``is_over``."""
        moves = self._moves
        await self.until(lambda: is_over() or self._moves > moves)

    def is_publishing(self, *, beyond: int) -> bool:
        """Say whether the wire has more than ``beyond`` messages, and got one of them just now."""
        idle_seconds = asyncio.get_running_loop().time() - self._wire_grew_at
        return self.figures.on_the_wire > beyond and idle_seconds < _MOVING_SECONDS

    def is_applying(self, *, beyond: int) -> bool:
        """Say whether the CRM has more than ``beyond`` effects."""
        return self.figures.effects > beyond

    def count_effects(self) -> int:
        """Count the lines of the CRM's ledger."""
        return self._ledger.read_bytes().count(b"\n") if self._ledger.exists() else 0

    async def count_unsaved(self) -> int:
        """Count the events that the relay has not saved as published."""
        return await self._count(_COUNT_UNSAVED)

    async def count_calls(self, pid: int) -> int:
        """Count the calls that a consumer has begun and not settled."""
        return await self._count(_COUNT_CALLS, str(pid))

    async def count_resolved(self) -> int:
        """Count the attempts with an unknown outcome whose delivery is applied by now."""
        return await self._count(_COUNT_RESOLVED)

    async def _count(self, query: str, *arguments: object) -> int:
        async with self._statement:
            count = await self._database.fetchval(query, *arguments, timeout=_STATEMENT_SECONDS)
        return int(count)
