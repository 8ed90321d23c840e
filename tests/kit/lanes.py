"""An outbox with several lanes: its processes, and a checker of the wire that shares no code with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

import asyncpg

from outbox.model.errors import ExitCode
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.process import Process
from tests.kit.tap import Seen, Tap
from tests.kit.waiting import until

_COMMITTED = "select event_id::text, id, key from outbox.event order by id"
_LED = """
select count(*) from outbox.cursor c
 where c.leased_until > clock_timestamp() and outbox.leader(c.stream) is not null
"""


def disorder(seen: Sequence[Seen]) -> list[str]:
    """Return the messages that came first after a later one of their key; what has no key has no order."""
    highest: dict[str, int] = {}
    known: set[str] = set()
    found = []
    for message in seen:
        if message.message_id in known:
            continue
        known.add(message.message_id)
        if message.key == "None":
            continue
        if message.sequence < highest.get(message.key, 0):
            found.append(f"{message.key}: {message.sequence} after {highest[message.key]}")
        highest[message.key] = max(highest.get(message.key, 0), message.sequence)
    return found


@dataclass
class Lanes:
    """One outbox whose relays are started with a number of lanes."""

    database: Database
    cli: Cli
    tap: Tap
    processes: list[Process] = field(default_factory=list)

    async def set(self, lanes: int) -> None:
        """Change the number of lanes, as an operator does."""
        assert (await self.cli("lanes", "set", str(lanes), "--yes")).code == ExitCode.OK

    async def relay(self, lanes: int, **variables: str) -> Process:
        """Start a relay process with this setting."""
        process = await self.cli.start("relay", OUTBOX_RELAY_LANES=str(lanes), **variables)
        process.name = f"relay-{len(self.processes) + 1}"
        self.processes.append(process)
        return process

    async def led(self, count: int, *, within_seconds: float = 30.0) -> None:
        """Wait until so many lanes have a leader."""

        async def are_led() -> bool:
            return await self.database.value(_LED) == count

        await until(are_led, what=f"{count} lanes are led", within_seconds=within_seconds)

    async def hold(self, *held: int, within_seconds: float = 30.0) -> None:
        """Wait until the processes that live hold so many lanes each, in any order."""

        async def do() -> bool:
            rows = await self.database.rows("select lanes_held from outbox.relays()")
            return sorted(row["lanes_held"] for row in rows) == sorted(held)

        await until(do, what=f"lanes are held as {held}", within_seconds=within_seconds)

    async def all_seen(self, *, within_seconds: float = 60.0) -> None:
        """Wait until everything that is committed was on the wire, and judge it."""
        committed = {row["event_id"] for row in await self.database.rows(_COMMITTED)}

        async def are_seen() -> bool:
            return committed <= set(self.tap.ids())

        await until(are_seen, what=f"{len(committed)} events are on the wire", within_seconds=within_seconds)
        assert set(self.tap.ids()) == committed, "something was on the wire that was never committed"
        assert not disorder(self.tap.seen)

    def repeats(self) -> int:
        """Return how many messages were on the wire again."""
        return len(self.tap.seen) - len(set(self.tap.ids()))

    @asynccontextmanager
    async def writers(self, count: int = 4, *, keys: int = 12) -> AsyncIterator[list[int]]:
        """Commit events for the length of the block: in order for their key, some slowly, some without a key.

        Yields a list whose one number is how many transactions have committed.
        """
        is_over = asyncio.Event()
        committed = [0]
        async with AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(self.database.connection()) for _ in range(count)]
            async with asyncio.TaskGroup() as group:
                for number, connection in enumerate(connections):
                    group.create_task(self._write(connection, number, keys, is_over, committed))
                yield committed
                is_over.set()

    async def _write(
        self, connection: asyncpg.Connection, number: int, keys: int, is_over: asyncio.Event, committed: list[int]
    ) -> None:
        turn = number
        while not is_over.is_set():
            turn += 7
            async with connection.transaction():
                if turn % 5 == 0:
                    # Its transaction id, and an id without a key, come long before it gets to a key.
                    await connection.fetchval("select outbox.emit('order.changed', null, '{}')")
                    await connection.execute("select pg_sleep(0.15)")
                for step in range(3):
                    key = f"k{(turn + step * 5) % keys}"
                    await connection.fetchval("select outbox.emit('order.changed', $1, '{}', ordered => true)", key)
                    if turn % 5 == 0:
                        # Held: what comes after it for the key has to wait for its commit.
                        await connection.execute("select pg_sleep(0.02)")
            committed[0] += 1
            if turn % 3:
                await connection.execute("select pg_sleep(0.004)")


@asynccontextmanager
async def lanes_of(database: Database, cli: Cli, tap: Tap) -> AsyncIterator[Lanes]:
    """Make one, and end its processes."""
    lanes = Lanes(database, replace(cli), tap)
    try:
        yield lanes
    finally:
        for process in lanes.processes:
            await process.kill()
            print(process.tail())  # noqa: T201 - that is how pytest gets to know
        bugs = [line for process in lanes.processes for line in process.find("service failed, this is a bug")]
        assert not bugs, bugs
