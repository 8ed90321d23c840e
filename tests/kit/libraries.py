"""Connections of every library that the client knows: inside a transaction, and where each statement commits itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import asyncpg
import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.kit.django_app import django_connections

Call = Callable[..., Awaitable[Any]]


class Functions(NamedTuple):
    """One function of the client in both forms."""

    asyncio: Callable[..., Awaitable[Any]]
    blocking: Callable[..., Any]


@dataclass(frozen=True)
class Library:
    """How one library opens a transaction, and a connection without one: a function of the client, bound to it."""

    transaction: Callable[[str, Functions], Any]
    autocommit: Callable[[str, Functions], Any]


def in_thread(functions: Functions, connection: Any) -> Call:  # noqa: ANN401 - a connection of any library
    async def call(*arguments: object, **options: object) -> object:
        return await asyncio.to_thread(functions.blocking, connection, *arguments, **options)

    return call


def of(functions: Functions, connection: Any) -> Call:  # noqa: ANN401 - a connection of any library
    return partial(functions.asyncio, connection)


@asynccontextmanager
async def asyncpg_transaction(url: str, functions: Functions) -> AsyncIterator[Call]:
    connection = await asyncpg.connect(url)
    # As many applications do; an argument of type json would be encoded twice.
    await connection.set_type_codec("json", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    try:
        async with connection.transaction():
            yield of(functions, connection)
    finally:
        await connection.close()


@asynccontextmanager
async def asyncpg_autocommit(url: str, functions: Functions) -> AsyncIterator[Call]:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool, pool.acquire() as connection:
        yield of(functions, connection)


@asynccontextmanager
async def psycopg_transaction(url: str, functions: Functions) -> AsyncIterator[Call]:
    async with await psycopg.AsyncConnection.connect(url, row_factory=psycopg.rows.dict_row) as connection:
        yield of(functions, connection)


@asynccontextmanager
async def psycopg_autocommit(url: str, functions: Functions) -> AsyncIterator[Call]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield of(functions, connection)


@asynccontextmanager
async def psycopg_sync_transaction(url: str, functions: Functions) -> AsyncIterator[Call]:
    with psycopg.connect(url, autocommit=True) as connection, connection.transaction():
        yield in_thread(functions, connection)


@asynccontextmanager
async def psycopg_sync_autocommit(url: str, functions: Functions) -> AsyncIterator[Call]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield in_thread(functions, connection)


def sqlalchemy_async(kind: type[AsyncConnection | AsyncSession], **options: str) -> Callable[[str, Functions], Any]:
    @asynccontextmanager
    async def opened(url: str, functions: Functions) -> AsyncIterator[Call]:
        engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"), **options)
        try:
            if kind is AsyncSession:
                async with AsyncSession(engine) as session, session.begin():
                    yield of(functions, session)
            else:
                async with engine.begin() as connection:
                    yield of(functions, connection)
        finally:
            await engine.dispose()

    return opened


def sqlalchemy_sync(kind: type[sqlalchemy.Connection | Session], **options: str) -> Callable[[str, Functions], Any]:
    @asynccontextmanager
    async def opened(url: str, functions: Functions) -> AsyncIterator[Call]:
        engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), **options)
        try:
            if kind is Session:
                with Session(engine) as session, session.begin():
                    yield in_thread(functions, session)
            else:
                with engine.begin() as connection:
                    yield in_thread(functions, connection)
        finally:
            engine.dispose()

    return opened


def django_connection(*, is_atomic: bool) -> Callable[[str, Functions], Any]:
    @asynccontextmanager
    async def opened(url: str, functions: Functions) -> AsyncIterator[Call]:
        loop = asyncio.get_running_loop()
        # Django's connections belong to the thread that opened them.
        with ThreadPoolExecutor(max_workers=1) as thread:
            connection = await loop.run_in_executor(thread, lambda: django_connections(url)["default"])

            async def call(*arguments: object, **options: object) -> object:
                return await loop.run_in_executor(
                    thread, partial(functions.blocking, connection, *arguments, **options)
                )

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
