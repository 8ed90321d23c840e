"""Calling a SQL function in the transaction that is open on a connection, whichever library the connection is of."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from outbox.model.errors import OutboxError

if TYPE_CHECKING:
    import asyncpg
    import asyncpg.pool
    import psycopg
    import sqlalchemy
    import sqlalchemy.orm
    from sqlalchemy.ext.asyncio import AsyncConnection as SqlAlchemyAsyncConnection
    from sqlalchemy.ext.asyncio import AsyncSession


class _DjangoCursor(Protocol):
    def execute(self, sql: str, params: Any = None) -> Any: ...  # noqa: ANN401 - the library's own signature

    def fetchone(self) -> Any: ...  # noqa: ANN401 - the library's own signature


class DjangoConnection(Protocol):
    """``django.db.connection`` or ``django.db.connections["alias"]``."""

    def cursor(self) -> AbstractContextManager[_DjangoCursor]: ...  # noqa: D102 - the library's own

    def get_autocommit(self) -> bool: ...  # noqa: D102 - the library's own


AsyncConnection: TypeAlias = (
    "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any] | psycopg.AsyncConnection[Any]"
    " | SqlAlchemyAsyncConnection | AsyncSession"
)
BlockingConnection: TypeAlias = (
    "psycopg.Connection[Any] | sqlalchemy.Connection | sqlalchemy.orm.Session | DjangoConnection"
)


class NotInTransaction(OutboxError):
    """No transaction is open: the statement would commit by itself, apart from the change that it belongs to.

    Args:
        problem: what has to commit together.
        next_step: where to open a transaction.
    """

    def __init__(self, problem: str, next_step: str) -> None:
        super().__init__(f"{problem}, and none is open on this connection\n  next step: {next_step}")


@dataclass(frozen=True, slots=True)
class Statement:
    """The call of one SQL function that returns one text, as the libraries want it written.

    Args:
        numbered: with ``$1``, for asyncpg; in the order of the parameters.
        placed: with ``%(name)s``, for psycopg and Django.
        named: with ``:name``, for SQLAlchemy.
        function: the name of our function for asyncio; that for blocking code ends in ``_sync``.
        not_alone: why it must be part of a transaction.
        next_step: what to do when there is none.
    """

    numbered: str
    placed: str
    named: str
    function: str
    not_alone: str
    next_step: str

    def outside(self) -> NotInTransaction:
        """Return the error for a connection without a transaction."""
        return NotInTransaction(self.not_alone, self.next_step)


async def call(connection: AsyncConnection, statement: Statement, parameters: Mapping[str, object]) -> str:
    """Run a statement in the transaction of a connection for asyncio, and return its answer.

    Raises:
        NotInTransaction: the statement would commit by itself.
        TypeError: this is no connection that is known here.
    """
    given: Any = connection
    match _library(connection):
        case "asyncpg" if hasattr(given, "is_in_transaction"):
            if not given.is_in_transaction():
                raise statement.outside()
            return str(await given.fetchval(statement.numbered, *parameters.values()))
        case "psycopg" if _is_async(given):
            _check_psycopg(given, statement)
            async with given.cursor(row_factory=_tuple_row()) as cursor:
                await cursor.execute(statement.placed, parameters)
                return str((await cursor.fetchone())[0])
        case "sqlalchemy" if hasattr(given, "sync_connection"):
            return await _call_sqlalchemy(given, statement, parameters)
        case "sqlalchemy" if hasattr(given, "sync_session"):
            return await _call_sqlalchemy(await given.connection(), statement, parameters)
        case _:
            raise _unknown(connection, f"{statement.function}_sync() takes blocking connections")


def call_sync(connection: BlockingConnection, statement: Statement, parameters: Mapping[str, object]) -> str:
    """Run a statement in the transaction of a blocking connection, and return its answer.

    Raises:
        NotInTransaction: the statement would commit by itself.
        TypeError: this is no connection that is known here.
    """
    given: Any = connection
    match _library(connection):
        case "psycopg" if hasattr(given, "pgconn") and not _is_async(given):
            _check_psycopg(given, statement)
            with given.cursor(row_factory=_tuple_row()) as cursor:
                return str(cursor.execute(statement.placed, parameters).fetchone()[0])
        case "sqlalchemy" if hasattr(given, "exec_driver_sql") and not hasattr(given, "sync_connection"):
            return _call_sqlalchemy_sync(given, statement, parameters)
        case "sqlalchemy" if hasattr(given, "get_bind") and not hasattr(given, "sync_session"):
            return _call_sqlalchemy_sync(given.connection(), statement, parameters)
        case "django" if hasattr(given, "get_autocommit"):
            if given.get_autocommit():
                raise statement.outside()
            with given.cursor() as cursor:
                cursor.execute(statement.placed, parameters)
                return str(cursor.fetchone()[0])
        case _:
            raise _unknown(connection, f"await {statement.function}() takes those of asyncio")


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


def _check_psycopg(connection: Any, statement: Statement) -> None:  # noqa: ANN401 - both kinds of connection
    import psycopg  # noqa: PLC0415 - the caller has it

    is_idle = connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    # Without autocommit the first statement opens the transaction.
    if connection.autocommit and is_idle:
        raise statement.outside()


def _tuple_row() -> Any:  # noqa: ANN401 - the library's own type
    import psycopg.rows  # noqa: PLC0415 - the caller has it

    return psycopg.rows.tuple_row


async def _call_sqlalchemy(
    connection: SqlAlchemyAsyncConnection, statement: Statement, parameters: Mapping[str, object]
) -> str:
    return await connection.run_sync(_call_sqlalchemy_sync, statement, parameters)


def _call_sqlalchemy_sync(
    connection: sqlalchemy.Connection, statement: Statement, parameters: Mapping[str, object]
) -> str:
    from sqlalchemy import text  # noqa: PLC0415 - the caller has it

    # As the driver sees it: isolation_level="AUTOCOMMIT" may come from the engine, the connection or the session.
    if getattr(connection.connection.dbapi_connection, "autocommit", False):
        raise statement.outside()
    return str(connection.scalar(text(statement.named), dict(parameters)))
