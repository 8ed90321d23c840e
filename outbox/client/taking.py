"""Taking a message once: the note that it was taken, and what it changes, commit together or not at all."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from outbox.client.connections import AsyncConnection, BlockingConnection, Statement, call, call_sync

_TAKE = Statement(
    numbered="select once.take($1, $2, $3, $4)",
    placed="select once.take(%(consumer)s::text, %(message_id)s::text, %(key)s::text, %(sequence)s::bigint)",
    named=(
        "select once.take(cast(:consumer as text), cast(:message_id as text), cast(:key as text),"
        " cast(:sequence as bigint))"
    ),
    function="once",
    not_alone="what a message changes and the note that it was taken must commit in one transaction",
    next_step="open one around once() and the change",
)


class Taken(StrEnum):
    """What `once` says of a message. True in a condition only when it is new."""

    NEW = "new"
    """Nobody has taken it: apply it, in this transaction."""
    DUPLICATE = "duplicate"
    """It was taken before and what it changed is there: commit, acknowledge, nothing else."""
    STALE = "stale"
    """It is new, but a later event of its key was taken before it: the caller decides."""

    def __bool__(self) -> bool:
        return self is Taken.NEW


async def once(
    connection: AsyncConnection,
    consumer: str,
    message_id: str | UUID | None,
    *,
    key: str | None = None,
    sequence: int | None = None,
) -> Taken:
    """Note in the connection's current transaction that a message is taken, and say whether it is new.

    The database is the service's own, with what ``outbox once sql`` prints installed. A transaction that is just taking
    the same message, or another one of the same key, is waited for.

    Args:
        connection: asyncpg's, psycopg's AsyncConnection, SQLAlchemy's AsyncConnection or AsyncSession, inside the
            transaction that changes what the message is about.
        consumer: a name for what is done with it, for example ``billing``; each name takes every message once.
        message_id: the message's property; what is none is refused.
        key: the message's header, to be told also when a later event of the key was taken before; None: not asked.
        sequence: the message's header; needed with a key.

    Raises:
        NotInTransaction: the connection would commit the note by itself.
        TypeError: this is no connection that is known here.
        Exception: the library's own; a data error (SQLSTATE 22023) without a message id, or with a key and no sequence;
            OB030 without a consumer.
    """
    return Taken(await call(connection, _TAKE, _parameters(consumer, message_id, key, sequence)))


def once_sync(
    connection: BlockingConnection,
    consumer: str,
    message_id: str | UUID | None,
    *,
    key: str | None = None,
    sequence: int | None = None,
) -> Taken:
    """Note in the connection's current transaction that a message is taken, blocking; the rest is as in ``once``.

    Args:
        connection: psycopg's Connection, SQLAlchemy's Connection or Session, or Django's ``connection``.
        consumer: see ``once``.
        message_id: see ``once``.
        key: see ``once``.
        sequence: see ``once``.

    Raises:
        NotInTransaction: see ``once``.
        TypeError: see ``once``.
    """
    return Taken(call_sync(connection, _TAKE, _parameters(consumer, message_id, key, sequence)))


def _parameters(
    consumer: str, message_id: str | UUID | None, key: str | None, sequence: int | None
) -> dict[str, object]:
    """Return the parameters of the SQL function in their order."""
    return {
        "consumer": consumer,
        "message_id": None if message_id is None else str(message_id),
        "key": key,
        "sequence": sequence,
    }
