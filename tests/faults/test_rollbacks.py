"""Only what was committed is published: no transaction that was rolled back, and no part of one."""

from __future__ import annotations

import asyncpg

from tests.kit.site import Site
from tests.kit.tap import Tap


async def emit(connection: asyncpg.Connection, key: str) -> str:
    return str(await connection.fetchval("select outbox.emit('order.confirmed', $1, '{}')", key))


async def test_a_transaction_that_is_rolled_back_publishes_nothing(site: Site, tap: Tap) -> None:
    relay = await site.start("relay")
    await relay.logged("caught up")
    async with site.database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await emit(connection, "undone")
        # A later transaction overtakes it, so the relay has looked past its id.
        async with site.database.connection() as other:
            overtaking = await emit(other, "kept")
        await tap.saw(1)
        await transaction.rollback()
        kept = await emit(connection, "kept")
    await tap.saw(2)
    assert tap.ids() == [overtaking, kept]


async def test_what_was_rolled_back_to_a_savepoint_is_not_published(site: Site, tap: Tap) -> None:
    relay = await site.start("relay")
    await relay.logged("caught up")
    async with site.database.connection() as connection, connection.transaction():
        before = await emit(connection, "kept")
        savepoint = connection.transaction()
        await savepoint.start()
        await emit(connection, "undone")
        await savepoint.rollback()
        async with connection.transaction():
            released = await emit(connection, "kept")
        after = await emit(connection, "kept")
    await tap.saw(3)
    assert tap.ids() == [before, released, after]


async def test_a_connection_that_breaks_before_its_commit_publishes_nothing(site: Site, tap: Tap) -> None:
    relay = await site.start("relay")
    await relay.logged("caught up")
    broken = await asyncpg.connect(site.database.url)
    await broken.execute("begin")
    await emit(broken, "undone")
    broken.terminate()
    async with site.database.connection() as connection:
        kept = await emit(connection, "kept")
    await tap.saw(1)
    assert tap.ids() == [kept]
