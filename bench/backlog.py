"""Fills an event table as an application would have: many small transactions, from several sessions."""

import asyncio

from bench.stand import Database

_LOADERS = 2


async def fill(database: Database, table: str, *, events: int, per_transaction: int, payload_bytes: int) -> None:
    """Commit that many events, and have them on disk: no checkpoint of theirs shall fall into a measurement."""
    shares = [events // _LOADERS + (number < events % _LOADERS) for number in range(_LOADERS)]

    async def load(share: int) -> None:
        async with database.connection() as connection:
            # The application waits for its commits; nobody here does.
            await connection.execute("set synchronous_commit = off")
            await connection.execute(
                "call bench.fill($1::text::regclass, $2, $3, $4)", table, share, per_transaction, payload_bytes
            )

    async with asyncio.TaskGroup() as group:
        for share in shares:
            if share:
                group.create_task(load(share))
    async with database.connection() as connection:
        await connection.execute("checkpoint")
