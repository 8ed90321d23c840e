"""What applications import to write events from Python. In any language, ``SELECT outbox.emit(…)`` does the same.

``emit`` is for asyncio: asyncpg, psycopg's AsyncConnection, SQLAlchemy's AsyncConnection and AsyncSession.
``emit_sync`` is for psycopg's Connection, SQLAlchemy's Connection and Session, and Django's connections.

The event joins the transaction that is open on the connection. None of these libraries is imported before a connection
of it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypedDict
from uuid import UUID

from outbox.model.errors import OutboxError
from outbox.model.exact_json import exact_json

if TYPE_CHECKING:
    import asyncpg
    import asyncpg.pool
    import psycopg
    import sqlalchemy
    import sqlalchemy.orm
    from sqlalchemy.ext.asyncio import AsyncConnection as SqlAlchemyAsyncConnection
    from sqlalchemy.ext.asyncio import AsyncSession

Headers: TypeAlias = Mapping[str, str | int | bool]


class _DjangoCursor(Protocol):
    def execute(self, sql: str, params: Any = None) -> Any: ...  # noqa: ANN401 - the library's own signature

    def fetchone(self) -> Any: ...  # noqa: ANN401 - the library's own signature


class DjangoConnection(Protocol):
    """``django.db.connection`` or ``django.db.connections["alias"]``."""

    def cursor(self) -> AbstractContextManager[_DjangoCursor]: ...  # noqa: D102 - the library's own

    def get_autocommit(self) -> bool: ...  # noqa: D102 - the library's own


EmitConnection: TypeAlias = (
    "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any] | psycopg.AsyncConnection[Any]"
    " | SqlAlchemyAsyncConnection | AsyncSession"
)
SyncEmitConnection: TypeAlias = (
    "psycopg.Connection[Any] | sqlalchemy.Connection | sqlalchemy.orm.Session | DjangoConnection"
)

# The text first: an application may have its own codec for json, which would quote what is JSON already.
_NUMBERED = "select outbox.emit($1, $2, $3::text::json, $4::text::json, $5, $6, $7)::text"
_PLACED = (
    "select outbox.emit(%(type)s, %(key)s, %(payload)s::text::json, %(headers)s::text::json,"
    " %(version)s, %(ordered)s, %(idempotency_key)s)::text"
)
_NAMED = (
    "select outbox.emit(:type, :key, cast(cast(:payload as text) as json), cast(cast(:headers as text) as json),"
    " :version, :ordered, :idempotency_key)::text"
)


class NotInTransaction(OutboxError):
    """The event would commit by itself: it could exist without the change that it tells of, or the other way round."""

    def __init__(self) -> None:
        super().__init__(
            "an event must be part of the transaction that it tells of, and none is open on this connection\n"
            "  next step: open one around the change and emit(); around emit() alone, if the event is all there is"
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
    connection: EmitConnection,
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
    given: Any = connection
    match _library(connection):
        case "asyncpg" if hasattr(given, "is_in_transaction"):
            if not given.is_in_transaction():
                raise NotInTransaction
            return UUID(await given.fetchval(_NUMBERED, *event.values()))
        case "psycopg" if _is_async(given):
            _check_psycopg(given)
            async with given.cursor(row_factory=_tuple_row()) as cursor:
                await cursor.execute(_PLACED, event)
                return UUID((await cursor.fetchone())[0])
        case "sqlalchemy" if hasattr(given, "sync_connection"):
            return await _emit_sqlalchemy(given, event)
        case "sqlalchemy" if hasattr(given, "sync_session"):
            return await _emit_sqlalchemy(await given.connection(), event)
        case _:
            raise _unknown(connection, "emit_sync() takes blocking connections")


def emit_sync(
    connection: SyncEmitConnection,
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
    given: Any = connection
    match _library(connection):
        case "psycopg" if hasattr(given, "pgconn") and not _is_async(given):
            _check_psycopg(given)
            with given.cursor(row_factory=_tuple_row()) as cursor:
                return UUID(cursor.execute(_PLACED, event).fetchone()[0])
        case "sqlalchemy" if hasattr(given, "exec_driver_sql") and not hasattr(given, "sync_connection"):
            return _emit_sqlalchemy_sync(given, event)
        case "sqlalchemy" if hasattr(given, "get_bind") and not hasattr(given, "sync_session"):
            return _emit_sqlalchemy_sync(given.connection(), event)
        case "django" if hasattr(given, "get_autocommit"):
            if given.get_autocommit():
                raise NotInTransaction
            with given.cursor() as cursor:
                cursor.execute(_PLACED, event)
                return UUID(cursor.fetchone()[0])
        case _:
            raise _unknown(connection, "await emit() takes those of asyncio")


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


def _library(connection: object) -> str | None:
    """Name the library that a connection comes from, also for an application's subclass of it."""
    known = ("asyncpg", "psycopg", "sqlalchemy", "django")
    names = (kind.__module__.partition(".")[0] for kind in type(connection).__mro__)
    return next((name for name in names if name in known), None)


def _unknown(connection: object, instead: str) -> TypeError:
    name = f"{type(connection).__module__}.{type(connection).__qualname__}"
    return TypeError(f"{name} is not a connection that this function knows ({instead}; of a pool, give the connection)")


def _is_async(connection: object) -> bool:
    return hasattr(connection, "__aenter__")


def _check_psycopg(connection: Any) -> None:  # noqa: ANN401 - both kinds of connection
    import psycopg  # noqa: PLC0415 - the caller has it

    is_idle = connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    # Without autocommit the first statement opens the transaction.
    if connection.autocommit and is_idle:
        raise NotInTransaction


def _tuple_row() -> Any:  # noqa: ANN401 - the library's own type
    import psycopg.rows  # noqa: PLC0415 - the caller has it

    return psycopg.rows.tuple_row


async def _emit_sqlalchemy(connection: SqlAlchemyAsyncConnection, event: _Event) -> UUID:
    return await connection.run_sync(_emit_sqlalchemy_sync, event)


def _emit_sqlalchemy_sync(connection: sqlalchemy.Connection, event: _Event) -> UUID:
    from sqlalchemy import text  # noqa: PLC0415 - the caller has it

    # As the driver sees it: isolation_level="AUTOCOMMIT" may come from the engine, the connection or the session.
    if getattr(connection.connection.dbapi_connection, "autocommit", False):
        raise NotInTransaction
    return UUID(connection.scalar(text(_NAMED), dict(event)))
