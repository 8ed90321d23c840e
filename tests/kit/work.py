"""How many rows a statement touches: the honest cost, the same on every machine."""

from __future__ import annotations

import asyncpg


async def rows_touched(
    connection: asyncpg.Connection, table: str, statement: str, *arguments: object
) -> tuple[int, int]:
    """Run a statement in a transaction of its own; return (result rows, table rows read to make them).

    Rows that a sequential scan, an index scan or a bitmap looked at all count.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        before = await _touched(connection, table)
        rows = await connection.fetch(statement, *arguments)
        after = await _touched(connection, table)
    finally:
        await transaction.rollback()
    return len(rows), after - before


async def _touched(connection: asyncpg.Connection, table: str) -> int:
    """The counters of this session that are not flushed yet; they also hold what came before the transaction."""
    count = await connection.fetchval(
        "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relid = $1::regclass", table
    )
    return int(count)
