"""One outbox, the command on it, and what it puts on the wire; the database behind it can change."""

from __future__ import annotations

from dataclasses import dataclass, replace

from outbox.model.errors import ExitCode
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.tap import Tap
from tests.kit.waiting import until

# Over one channel the order on the wire is the order of the table, whatever the key: what is compared here.
ONE_CHANNEL = {"relay": {"channels": 1}}
NEXT_STEP = 'next step: run "outbox rebase": it shows the range and changes nothing'


@dataclass(frozen=True, slots=True)
class Outbox:
    """One database and the command on it."""

    database: Database
    cli: Cli
    tap: Tap

    @classmethod
    def with_one_channel(cls, database: Database, cli: Cli, tap: Tap) -> Outbox:
        cli.settings(ONE_CHANNEL)
        return cls(database, cli, tap)

    def on(self, url: str) -> Outbox:
        return replace(self, database=Database(url), cli=replace(self.cli, pg_url=url))

    async def emit(self, count: int) -> set[str]:
        """Commit events of four keys, one by one, and return their ids."""
        async with self.database.connection() as connection:
            return {
                str(await connection.fetchval("select outbox.emit('order.changed', $1, '{}')", f"k{number % 4}"))
                for number in range(count)
            }

    async def publish(self, count: int = 0) -> None:
        """Let a relay publish what waits, and new events; its cursor is saved when this returns."""
        async with self.cli.running("relay") as relay:
            await relay.logged("caught up")
            await self.saw(await self.emit(count))

    async def saw(self, event_ids: set[str]) -> None:
        """Wait until these events were on the wire, at least once."""

        async def is_on_the_wire() -> bool:
            return event_ids <= set(self.tap.ids())

        await until(is_on_the_wire, what=f"{len(event_ids)} events are on the wire")

    async def relay_refuses(self) -> str:
        """Start a relay, which must end by itself with a message."""
        before = len(self.tap.seen)
        refusal = (await self.cli("relay")).refusal(ExitCode.MISCONFIGURED)
        assert len(self.tap.seen) == before, "it published before it looked"
        assert NEXT_STEP in refusal
        return refusal

    async def cursor(self) -> object:
        return await self.database.rows("select * from outbox.cursor")

    def is_in_order(self) -> bool:
        return all(sequences == sorted(sequences) for sequences in self.tap.first_sequences().values())
