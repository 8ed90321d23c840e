"""What applications import to write events from Python. In any language, ``SELECT outbox.emit(…)`` does the same."""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

import orjson


class _AsyncConnection(Protocol):
    """An asyncpg connection, or a pool."""

    async def fetchval(self, query: str, *args: Any) -> Any:  # noqa: ANN401 - the library's own signature
        ...


async def emit(
    connection: _AsyncConnection,
    event_type: str,
    key: str | None,
    payload: object,
    *,
    headers: dict[str, str | int | bool] | None = None,
    version: int = 1,
    ordered: bool = False,
) -> UUID:
    """Add an event to the connection's current transaction.

    Args:
        connection: an asyncpg connection inside the transaction that changes the business rows.
        event_type: for example ``order.confirmed``; it becomes the routing key.
        key: events of one key take effect in order; None for an event without order.
        payload: JSON text as str or bytes, kept byte for byte; anything else is serialised.
        headers: for example ``traceparent``.
        version: of the event type's contract.
        ordered: take a lock per key until the transaction ends, for applications that do not lock the business row.

    Returns:
        The event's id, which is the message id.

    Raises:
        asyncpg.CheckViolationError: what could never be published; the constraint's comment says why.
    """
    text = payload if isinstance(payload, str) else _json(payload)
    event_id: UUID = await connection.fetchval(
        "select outbox.emit($1, $2, $3::json, $4::json, $5, $6)",
        event_type,
        key,
        text,
        None if headers is None else _json(headers),
        version,
        ordered,
    )
    return event_id


def _json(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else orjson.dumps(value).decode()
