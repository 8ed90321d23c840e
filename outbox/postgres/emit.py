"""Emits one event from the command line, with errors for people."""

from __future__ import annotations

import asyncpg

from outbox.model.errors import Misconfigured
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors


async def emit(
    server: PostgresServer, *, event_type: str, key: str | None, payload: str, headers: str | None, version: int
) -> str:
    """Commit one event and return its id.

    Raises:
        Misconfigured: the event breaks a rule of the outbox; the message is the rule's.
        Unavailable, AccessRefused: the database does not take it now, or not from this user.
    """
    async with connect(server) as connection:
        try:
            with postgres_errors(str(server)):
                event_id = await connection.fetchval(
                    "select outbox.emit($1, $2, $3::json, $4::json, $5)", event_type, key, payload, headers, version
                )
        except asyncpg.CheckViolationError as error:
            raise Misconfigured(
                f"the event breaks {error.constraint_name}",
                await _rule(connection, error.constraint_name) or "see outbox.event in the database",
            ) from error
        except asyncpg.DataError as error:
            raise Misconfigured(f"payload or headers are not JSON: {error}", "quote the JSON for your shell") from error
        return str(event_id)


async def _rule(connection: Connection, constraint: str | None) -> str | None:
    rule: str | None = await connection.fetchval(
        "select obj_description(oid, 'pg_constraint') from pg_constraint"
        " where conname = $1 and conrelid = 'outbox.event'::regclass",
        constraint,
    )
    return rule
