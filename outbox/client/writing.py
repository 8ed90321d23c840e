"""Writing an event: it joins the transaction of the change that it tells of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, TypedDict
from uuid import UUID

from outbox.client.connections import AsyncConnection, BlockingConnection, Statement, call, call_sync
from outbox.model.exact_json import exact_json

Headers: TypeAlias = Mapping[str, str | int | bool]

# The text first: an application may have its own codec for json, which would quote what is JSON already.
_EMIT = Statement(
    numbered="select outbox.emit($1, $2, $3::text::json, $4::text::json, $5, $6, $7)::text",
    placed=(
        "select outbox.emit(%(type)s, %(key)s, %(payload)s::text::json, %(headers)s::text::json,"
        " %(version)s, %(ordered)s, %(idempotency_key)s)::text"
    ),
    named=(
        "select outbox.emit(:type, :key, cast(cast(:payload as text) as json), cast(cast(:headers as text) as json),"
        " :version, :ordered, :idempotency_key)::text"
    ),
    function="emit",
    not_alone="an event must be part of the transaction that it tells of",
    next_step="open one around the change and emit(); around emit() alone, if the event is all there is",
)


class _Event(TypedDict):
    type: str
    key: str | None
    payload: str
    headers: str | None
    version: int
    ordered: bool
    idempotency_key: str | None


async def emit(
    connection: AsyncConnection,
    event_type: str,
    key: str | None,
    payload: object,
    *,
    headers: Headers | None = None,
    version: int = 1,
    ordered: bool = False,
    idempotency_key: str | None = None,
) -> UUID:
    """Add an event to the connection's current transaction.

    Args:
        connection: asyncpg's, psycopg's AsyncConnection, SQLAlchemy's AsyncConnection or AsyncSession, inside the
            transaction that changes the business rows.
        event_type: for example ``order.confirmed``; it becomes the routing key.
        key: events of one key take effect in order; None for an event without order.
        payload: JSON text as str or bytes, kept byte for byte; anything else is written as JSON: a Decimal with every
            digit, a datetime with its offset. What JSON cannot hold exactly is refused.
        headers: for example ``traceparent``.
        version: of the event type's contract.
        ordered: take a lock per key until the transaction ends, for applications that do not lock the business row.
        idempotency_key: the same key again adds nothing and returns the first event's id.

    Returns:
        The event's id, which is the message id.

    Raises:
        NotInTransaction: the connection would commit the event by itself.
        TypeError: JSON cannot hold the payload exactly, or this is no connection that is known here.
        Exception: the library's own, for what could never be published (a check violation; the constraint's comment
            says why) and for an idempotency key that stands for another event (SQLSTATE OB020).
    """
    event = _event(event_type, key, payload, headers, version, ordered, idempotency_key)
    return UUID(await call(connection, _EMIT, event))


def emit_sync(
    connection: BlockingConnection,
    event_type: str,
    key: str | None,
    payload: object,
    *,
    headers: Headers | None = None,
    version: int = 1,
    ordered: bool = False,
    idempotency_key: str | None = None,
) -> UUID:
    """Add an event to the connection's current transaction, blocking; everything else is as in ``emit``.

    Args:
        connection: psycopg's Connection, SQLAlchemy's Connection or Session, or Django's ``connection``.
        event_type: see ``emit``.
        key: see ``emit``.
        payload: see ``emit``.
        headers: see ``emit``.
        version: see ``emit``.
        ordered: see ``emit``.
        idempotency_key: see ``emit``.

    Returns:
        The event's id, which is the message id.

    Raises:
        NotInTransaction: see ``emit``.
        TypeError: see ``emit``.
    """
    event = _event(event_type, key, payload, headers, version, ordered, idempotency_key)
    return UUID(call_sync(connection, _EMIT, event))


def _event(
    event_type: str,
    key: str | None,
    payload: object,
    headers: Headers | None,
    version: int,
    ordered: bool,
    idempotency_key: str | None,
) -> _Event:
    """Return the parameters of the SQL function in their order."""
    return {
        "type": event_type,
        "key": key,
        "payload": _text(payload),
        "headers": None if headers is None else exact_json(headers),
        "version": version,
        "ordered": ordered,
        "idempotency_key": idempotency_key,
    }


def _text(payload: object) -> str:
    match payload:
        case str():
            return payload
        case bytes():
            return payload.decode()
        case _:
            return exact_json(payload)
