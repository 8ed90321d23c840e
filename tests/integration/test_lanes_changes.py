"""The number of lanes changes at any moment: nothing is left out, and what is read again is what was foretold."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest

from outbox.model.cursor import PageLimits
from outbox.model.lanes import Lane, lanes_of
from outbox.postgres.lanes import lanes_session
from outbox.postgres.outbox_store import OutboxStore
from tests.kit.database import Database

STREAM = "outbox.event"
LIMITS = PageLimits(4, 1 << 20, 1 << 20)
_EMIT = "select outbox.emit('t', $1, '{}')"
_AS_A_RELAY = (
    "select outbox.join_relays('me', 1869968482, 10)",
    "select * from outbox.share_lanes('me', 2, true, 1869968482, 10)",
    "select * from outbox.free_lanes('outbox.event', 2, 1869968482)",
    "select * from outbox.relays()",
    "select * from outbox.try_lead('outbox.event:1/2', 1869968482, 10)",
    "select * from outbox.page_reach('{}', 1, 10, 0, 5)",
    "select * from outbox.observe('outbox.event:1/2')",
    "select * from outbox.lanes_plan('outbox.event', 3)",
    "select * from outbox.set_lanes('outbox.event', 3)",
    "select * from outbox.lanes_set",
)


@asynccontextmanager
async def writers(database: Database, count: int = 4) -> AsyncIterator[list[asyncpg.Connection]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(database.connection()) for _ in range(count)]


async def write(connection: asyncpg.Connection, chance: random.Random) -> None:
    """Begin, go on with, commit or roll back a transaction."""
    if not connection.is_in_transaction():
        await connection.execute("begin")
    for _ in range(chance.randint(0, 4)):
        await connection.fetchval(_EMIT, chance.choice([None, *(f"k{number}" for number in range(8))]))
    end = chance.random()
    if end < 0.6:
        await connection.execute("commit" if end < 0.5 else "rollback")


async def read(database: Database, lane: Lane, pages: int) -> list[int]:
    """Read some pages of a lane, and save how far that was, as a relay that ends in the middle."""
    async with OutboxStore(database.server, LIMITS, lane=lane).session() as session:
        lead = await session.try_lead()
        assert lead is not None
        cursor, ids = lead.cursor, []
        while pages > 0:
            batch = await session.begin_batch(cursor)
            cursor = cursor.begun(batch.current)
            after, is_complete = batch.start(cursor.position), batch.is_empty()
            while pages > 0 and not is_complete:
                pages -= 1
                page = await session.read_page(cursor, batch, after)
                ids += [event.sequence for event in page.events]
                if page.events:
                    after = page.last_sequence()
                    cursor = cursor.advanced(after)
                is_complete = page.is_last(LIMITS)
            if is_complete:
                cursor = cursor.finished()
            if batch.is_empty():
                break
        await session.save(lead, cursor)
        return ids


@pytest.mark.parametrize("seed", range(4))
async def test_whenever_lanes_are_changed_each_event_is_read_and_repeats_are_those_of_the_plan(
    database: Database, seed: int
) -> None:
    chance = random.Random(seed)
    lanes, expected, seen = 1, 0, []
    async with writers(database) as connections:
        for _ in range(12):
            for _ in range(chance.randint(1, 6)):
                await write(chance.choice(connections), chance)
            for lane in chance.sample(lanes_of(STREAM, lanes), chance.randint(0, lanes)):
                seen += await read(database, lane, chance.randint(1, 6))
            if chance.random() < 0.5:
                wanted = chance.randint(1, 5)
                async with lanes_session(database.server, STREAM) as session:
                    expected += (await session.plan(wanted)).repeated
                    await session.set(wanted)
                lanes = wanted
        for connection in connections:
            if connection.is_in_transaction():
                await connection.execute("commit")
    for lane in lanes_of(STREAM, lanes):
        seen += await read(database, lane, 1000)
    committed = {row["id"] for row in await database.rows("select id from outbox.event")}
    assert set(seen) == committed
    assert len(seen) - len(committed) == expected


async def test_the_role_of_a_relay_may_share_and_change_the_lanes(database: Database) -> None:
    await database.value("select outbox.set_lanes('outbox.event', 2)")
    async with database.connection() as connection:
        await connection.execute("set role outbox_relay")
        for statement in _AS_A_RELAY:
            await connection.fetch(statement)
