"""How many rows a statement touches: the honest cost, the same on every machine."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any, TypeVar

import asyncpg

T = TypeVar("T")


async def rows_touched(
    connection: asyncpg.Connection, table: str, statement: str, *arguments: object
) -> tuple[int, int]:
    """Run a statement in a transaction of its own; return (result rows, table rows read to make them).

    Rows that a sequential scan, an index scan or a bitmap looked at all count, in every partition of the table.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        rows, touched = await touched_by(connection, table, connection.fetch(statement, *arguments))
    finally:
        await transaction.rollback()
    return len(rows), touched


async def touched_by(connection: asyncpg.Connection, table: str, work: Awaitable[T]) -> tuple[T, int]:
    """Do work on a connection inside its transaction; return (its result, table rows read for it)."""
    before = await _touched(connection, table)
    result = await work
    return result, await _touched(connection, table) - before


async def plans_inside(
    connection: asyncpg.Connection, statement: str, *arguments: object
) -> list[dict[str, Any]] | None:
    """Run a statement and return the plan of every statement that its functions ran, with the rows of each node.

    None where this build of PostgreSQL has no auto_explain: whoever wants to know has to skip.
    """
    logged: list[str] = []

    def keep(_: object, message: asyncpg.PostgresLogMessage) -> None:
        logged.append(message.message)

    transaction = connection.transaction()
    await transaction.start()
    connection.add_log_listener(keep)
    try:
        try:
            await connection.execute("load 'auto_explain'")
        except asyncpg.UndefinedFileError:
            return None
        await connection.execute(
            "set local auto_explain.log_min_duration = 0; set local auto_explain.log_nested_statements = on;"
            "set local auto_explain.log_analyze = on; set local auto_explain.log_timing = off;"
            "set local auto_explain.log_format = json; set local client_min_messages = log"
        )
        await connection.fetch(statement, *arguments)
        # What was logged before is heard before the next answer.
        await connection.execute("set local client_min_messages = notice")
    finally:
        await transaction.rollback()
        connection.remove_log_listener(keep)
    return [json.loads(text[text.index("{") :])["Plan"] for text in logged if "plan:" in text]


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a plan's nodes, outermost first."""
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


def tree(plan: dict[str, Any], depth: int = 0) -> str:
    """Return a plan as people read it, one node a line."""
    shown = ("Relation Name", "Index Name", "Actual Rows", "Subplans Removed", "Rows Removed by Filter")
    facts = ", ".join(f"{name.lower()} {plan[name]}" for name in shown if name in plan)
    own = f"{'  ' * depth}{plan['Node Type']}: {facts}"
    return "\n".join([own, *(tree(child, depth + 1) for child in plan.get("Plans", []))])


async def _touched(connection: asyncpg.Connection, table: str) -> int:
    """The counters of this session that are not flushed yet; they also hold what came before the transaction."""
    count = await connection.fetchval(
        "select coalesce(sum(seq_tup_read + idx_tup_fetch), 0) from pg_stat_xact_user_tables"
        " where relid = $1::regclass or relid in (select relid from pg_partition_tree($1::regclass))",
        table,
    )
    return int(count)
