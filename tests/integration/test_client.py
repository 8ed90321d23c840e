"""What applications import: an event is part of the caller's transaction, whichever library holds the connection."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import asyncpg
import django.db.utils
import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from outbox.client import NotInTransaction, emit, emit_sync
from tests.kit.database import Database
from tests.kit.django_app import django_connections

Emit = Callable[..., Awaitable[uuid.UUID]]


class RolledBack(Exception):
    """Raised to end a transaction."""


@dataclass(frozen=True)
class Library:
    """How one library opens a transaction, and a connection without one."""

    transaction: Callable[[str], Any]
    autocommit: Callable[[str], Any]


def in_thread(function: Callable[..., Any], connection: Any) -> Emit:  # noqa: ANN401 - a connection of any library
    async def call(*arguments: object, **options: object) -> uuid.UUID:
        return await asyncio.to_thread(function, connection, *arguments, **options)

    return call


def of(connection: Any) -> Emit:  # noqa: ANN401 - a connection of any library
    return partial(emit, connection)


@asynccontextmanager
async def asyncpg_transaction(url: str) -> AsyncIterator[Emit]:
    connection = await asyncpg.connect(url)
    # As many applications do; an argument of type json would be encoded twice.
    await connection.set_type_codec("json", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    try:
        async with connection.transaction():
            yield of(connection)
    finally:
        await connection.close()


@asynccontextmanager
async def asyncpg_autocommit(url: str) -> AsyncIterator[Emit]:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool, pool.acquire() as connection:
        yield of(connection)


@asynccontextmanager
async def psycopg_transaction(url: str) -> AsyncIterator[Emit]:
    async with await psycopg.AsyncConnection.connect(url, row_factory=psycopg.rows.dict_row) as connection:
        yield of(connection)


@asynccontextmanager
async def psycopg_autocommit(url: str) -> AsyncIterator[Emit]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield of(connection)


@asynccontextmanager
async def psycopg_sync_transaction(url: str) -> AsyncIterator[Emit]:
    with psycopg.connect(url, autocommit=True) as connection, connection.transaction():
        yield in_thread(emit_sync, connection)


@asynccontextmanager
async def psycopg_sync_autocommit(url: str) -> AsyncIterator[Emit]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield in_thread(emit_sync, connection)


def sqlalchemy_async(kind: type[AsyncConnection | AsyncSession], **options: str) -> Callable[[str], Any]:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Emit]:
        engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"), **options)
        try:
            if kind is AsyncSession:
                async with AsyncSession(engine) as session, session.begin():
                    yield of(session)
            else:
                async with engine.begin() as connection:
                    yield of(connection)
        finally:
            await engine.dispose()

    return opened


def sqlalchemy_sync(kind: type[sqlalchemy.Connection | Session], **options: str) -> Callable[[str], Any]:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Emit]:
        engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), **options)
        try:
            if kind is Session:
                with Session(engine) as session, session.begin():
                    yield in_thread(emit_sync, session)
            else:
                with engine.begin() as connection:
                    yield in_thread(emit_sync, connection)
        finally:
            engine.dispose()

    return opened


def django_connection(*, is_atomic: bool) -> Callable[[str], Any]:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Emit]:
        loop = asyncio.get_running_loop()
        # Django's connections belong to the thread that opened them.
        with ThreadPoolExecutor(max_workers=1) as thread:
            connection = await loop.run_in_executor(thread, lambda: django_connections(url)["default"])

            async def call(*arguments: object, **options: object) -> uuid.UUID:
                return await loop.run_in_executor(thread, partial(emit_sync, connection, *arguments, **options))

            try:
                if is_atomic:
                    await loop.run_in_executor(thread, connection.set_autocommit, False)
                yield call
                await loop.run_in_executor(thread, connection.commit)
            finally:
                # What is not committed is rolled back.
                await loop.run_in_executor(thread, connection.close)

    return opened


AUTOCOMMIT = {"isolation_level": "AUTOCOMMIT"}
LIBRARIES = {
    "asyncpg": Library(asyncpg_transaction, asyncpg_autocommit),
    "psycopg async": Library(psycopg_transaction, psycopg_autocommit),
    "psycopg": Library(psycopg_sync_transaction, psycopg_sync_autocommit),
    "sqlalchemy AsyncConnection": Library(
        sqlalchemy_async(AsyncConnection), sqlalchemy_async(AsyncConnection, **AUTOCOMMIT)
    ),
    "sqlalchemy AsyncSession": Library(sqlalchemy_async(AsyncSession), sqlalchemy_async(AsyncSession, **AUTOCOMMIT)),
    "sqlalchemy Connection": Library(
        sqlalchemy_sync(sqlalchemy.Connection), sqlalchemy_sync(sqlalchemy.Connection, **AUTOCOMMIT)
    ),
    "sqlalchemy Session": Library(sqlalchemy_sync(Session), sqlalchemy_sync(Session, **AUTOCOMMIT)),
    "django": Library(django_connection(is_atomic=True), django_connection(is_atomic=False)),
}
EACH = pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)


@EACH
async def test_an_event_commits_and_rolls_back_with_the_callers_transaction(
    database: Database, library: Library
) -> None:
    payload = {"amount": Decimal("1.10"), "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}
    async with library.transaction(database.url) as call:
        kept = await call("order.confirmed", "SO-1", payload, headers={"tenant": "a"}, version=2, ordered=True)
    with suppress(RolledBack):
        async with library.transaction(database.url) as call:
            await call("order.confirmed", "SO-2", {})
            raise RolledBack
    once = set()
    for _ in range(2):
        async with library.transaction(database.url) as call:
            once.add(await call("order.confirmed", None, '{"b": 0.10, "a":1e400}', idempotency_key="order-1"))

    row, *others = await database.rows("select * from outbox.event order by id")
    assert (row["event_id"], row["type"], row["key"], row["version"]) == (kept, "order.confirmed", "SO-1", 2)
    assert row["payload"] == '{"amount":1.10,"at":"2026-01-02T03:04:05+00:00"}'
    assert json.loads(row["headers"]) == {"tenant": "a"}
    assert [(other["event_id"], other["payload"]) for other in others] == [(*once, '{"b": 0.10, "a":1e400}')]


@EACH
async def test_an_event_that_would_commit_by_itself_is_refused_and_so_is_what_could_never_be_published(
    database: Database, library: Library
) -> None:
    async with library.autocommit(database.url) as call:
        with pytest.raises(NotInTransaction, match="next step: open one around the change and emit"):
            await call("order.confirmed", "SO-1", {})
    refusals = (asyncpg.CheckViolationError, psycopg.errors.CheckViolation, sqlalchemy.exc.IntegrityError)
    with pytest.raises((*refusals, django.db.utils.IntegrityError), match="event_key_fits"):
        async with library.transaction(database.url) as call:
            await call("order.confirmed", "k" * 513, {})
    assert await database.value("select count(*) from outbox.event") == 0


async def test_a_connection_of_the_other_kind_and_a_pool_are_refused_with_what_to_use(database: Database) -> None:
    pool = asyncpg.create_pool(database.url)
    with pytest.raises(TypeError, match=r"asyncpg\.pool\.Pool is not a connection .* give the connection"):
        await emit(pool, "t", None, {})
    async with database.connection() as connection, await psycopg.AsyncConnection.connect(database.url) as other:
        for one in (connection, other):
            with pytest.raises(TypeError, match=r"await emit\(\) takes those of asyncio"):
                emit_sync(one, "t", None, {})
    with psycopg.connect(database.url) as blocking, pytest.raises(TypeError, match=r"emit_sync\(\) takes blocking"):
        await emit(blocking, "t", None, {})
