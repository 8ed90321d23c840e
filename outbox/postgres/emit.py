"""Emits one event from the command line, with errors for people."""

from __future__ import annotations

import asyncpg

from outbox.model.errors import Misconfigured
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors

_QUOTE = "quote the JSON for your shell, in single quotes"


async def emit(
    server: PostgresServer, *, event_type: str, key: str | None, payload: str, headers: str | None, version: int
) -> str:
    """Commit one event and return its id.

    Raises:
        Misconfigured: the event breaks a rule of the outbox; the message is the rule's.
        Unavailable, AccessRefused: the database does not take it now, or not from this user.
    """
    _check_encoding({"type": event_type, "key": key, "payload": payload, "headers": headers})
    async with connect(server) as connection:
        with postgres_errors(str(server), needs="grant outbox_writer to this user"):
            try:
                event_id = await connection.fetchval(
                    "select outbox.emit($1, $2, $3::json, $4::json, $5)", event_type, key, payload, headers, version
                )
            except asyncpg.CheckViolationError as error:
                raise Misconfigured(
                    f"the event breaks {error.constraint_name}", await _rule(connection, error.constraint_name)
                ) from error
            except asyncpg.StatementTooComplexError as error:
                raise Misconfigured(
                    "payload or headers are nested deeper than PostgreSQL takes",
                    "flatten the JSON; the server's limit is max_stack_depth",
                ) from error
            except asyncpg.DataError as error:
                reason = " ".join(str(error).split())
                raise Misconfigured(f"payload or headers are not JSON: {reason}", _QUOTE) from error
        return str(event_id)


def _check_encoding(texts: dict[str, str | None]) -> None:
    for name, text in texts.items():
        try:
            (text or "").encode()
        except UnicodeEncodeError as error:
            # No `from`: the cause holds the whole text.
            raise Misconfigured(
                f"{name} is not valid UTF-8 at character {error.start}", "check the encoding of your terminal or script"
            ) from None


async def _rule(connection: Connection, constraint: str | None) -> str:
    rule: str | None = await connection.fetchval(
        "select obj_description(oid, 'pg_constraint') from pg_constraint"
        " where conname = $1 and conrelid = 'outbox.event'::regclass",
        constraint,
    )
    return rule or "see the table outbox.event in the database"
