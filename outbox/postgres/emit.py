"""Emits one event from the command line, with errors for people."""

from __future__ import annotations

from typing import NamedTuple

import asyncpg

from outbox.model.errors import Misconfigured
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors

_EMIT = "select outbox.emit($1, $2, $3::json, $4::json, $5)"
_EMIT_ONCE = (
    "select event_id, is_new from outbox.emit_once($1, $2, $3::json, headers => $4::json, version => $5,"
    " idempotency_key => $6)"
)
_QUOTE = "quote the JSON for your shell, in single quotes"


class Emitted(NamedTuple):
    """The event that a call stands for. Not new: an earlier call with the same idempotency key has committed it."""

    event_id: str
    is_new: bool


async def emit(
    server: PostgresServer,
    *,
    event_type: str,
    key: str | None,
    payload: str,
    headers: str | None,
    version: int,
    idempotency_key: str | None = None,
) -> Emitted:
    """Commit one event, or find the one that was committed under this idempotency key before.

    Raises:
        Misconfigured: the event breaks a rule of the outbox; the message is the rule's. Or the key stands for another.
        Unavailable, AccessRefused: the database does not take it now, or not from this user.
    """
    texts = {"type": event_type, "key": key, "payload": payload, "headers": headers}
    _check_encoding(texts | {"idempotency key": idempotency_key})
    async with connect(server) as connection:
        with postgres_errors(str(server), needs="grant outbox_writer to this user"):
            try:
                event = event_type, key, payload, headers, version
                if idempotency_key is None:
                    return Emitted(str(await connection.fetchval(_EMIT, *event)), is_new=True)
                (row,) = await connection.fetch(_EMIT_ONCE, *event, idempotency_key)
            except asyncpg.CheckViolationError as error:
                raise Misconfigured(
                    f"the event breaks {error.constraint_name}", await _rule(connection, error)
                ) from error
            except asyncpg.StatementTooComplexError as error:
                raise Misconfigured(
                    "payload or headers are nested deeper than PostgreSQL takes",
                    "flatten the JSON; the server's limit is max_stack_depth",
                ) from error
            except asyncpg.DataError as error:
                reason = " ".join(str(error).split())
                raise Misconfigured(f"payload or headers are not JSON: {reason}", _QUOTE) from error
        return Emitted(str(row["event_id"]), is_new=row["is_new"])


def _check_encoding(texts: dict[str, str | None]) -> None:
    for name, text in texts.items():
        try:
            (text or "").encode()
        except UnicodeEncodeError as error:
            # No `from`: the cause holds the whole text.
            raise Misconfigured(
                f"{name} is not valid UTF-8 at character {error.start}", "check the encoding of your terminal or script"
            ) from None


async def _rule(connection: Connection, error: asyncpg.CheckViolationError) -> str:
    rule: str | None = await connection.fetchval(
        "select obj_description(c.oid, 'pg_constraint') from pg_constraint c"
        " where c.conname = $1 and c.conrelid in (select t.oid from pg_class t"
        " where t.relname in ('event', 'emitted') and t.relnamespace = 'outbox'::regnamespace)",
        error.constraint_name,
    )
    return rule or "see the table outbox.event in the database"
