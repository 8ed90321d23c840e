"""Looks at the campaign: how far everything is, and whether something is left to do. Never decides the verdict."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from sandbox.changes import Changes

_LOOK_EVERY_SECONDS = 1.0
_STATEMENT_SECONDS = 20.0

_LOOK = """
    select (select count(*) from erp.sales_order) as committed,
           (select count(*) from outbox.event) as events,
           f.flow, coalesce(d.deliveries, 0) as deliveries, coalesce(d.active, 0) as active
      from unnest($1::text[]) f(flow)
      left join lateral (
           select count(*) as deliveries,
                  count(*) filter (where d.state in ('ready', 'applying', 'retry') or d.due_at is not null) as active
             from inbox.delivery d where d.flow = f.flow) d on true
"""


@dataclass(slots=True)
class Figures:
    """How far everything is; ``left`` counts what the sidecar still has to do, None while nobody can tell."""

    committed: int = 0
    left: int | None = None
    effects: Mapping[str, int] = field(default_factory=dict)


class Watch:
    """Looks once a second."""

    def __init__(self, pg_url: str, ledgers: Mapping[str, Path], on_look: Callable[[Figures], None]) -> None:
        self.figures = Figures(effects=dict.fromkeys(ledgers, 0))
        self._pg_url = pg_url
        self._ledgers = ledgers
        self._on_look = on_look
        self._changes = Changes()

    async def run(self, over: asyncio.Event) -> None:
        """Look until it is over."""
        while not over.is_set():
            await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_SECONDS):
                    await over.wait()

    async def moving(self, *, within_seconds: float) -> None:
        """Wait until every flow has had an effect: before that, a strike would meet nothing under way.

        Past the bound the campaign goes on, and convicts in the end.
        """
        with suppress(TimeoutError):
            await self._changes.until(lambda: all(self.figures.effects.values()), within_seconds=within_seconds)

    async def drained(self, *, within_seconds: float) -> bool:
        """Wait until nothing is left to do, and say whether that came true."""
        over = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                while self.figures.left != 0 or not await self._is_still_nothing_left():
                    await self.look()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_EVERY_SECONDS):
                            await over.wait()
                return True
        return False

    async def look(self) -> None:
        """Look once."""
        flows = list(self._ledgers)
        effects = {flow: _lines(file) for flow, file in self._ledgers.items()}
        try:
            rows = await self._rows(flows)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self.figures = Figures(self.figures.committed, None, effects)
        else:
            left = sum(row["events"] - row["deliveries"] + row["active"] for row in rows)
            self.figures = Figures(rows[0]["committed"], left, effects)
        self._changes.notify()
        self._on_look(self.figures)

    async def _is_still_nothing_left(self) -> bool:
        await self.look()
        return self.figures.left == 0

    async def _rows(self, flows: Sequence[str]) -> Sequence[asyncpg.Record]:
        # A connection for each look: the server is killed now and then.
        async with asyncio.timeout(_STATEMENT_SECONDS):
            connection = await asyncpg.connect(self._pg_url)
            try:
                return list(await connection.fetch(_LOOK, flows))
            finally:
                connection.terminate()


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0
