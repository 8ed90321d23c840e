"""What applications import: an event is part of the caller's transaction, whichever library holds the connection."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import django.db.utils
import psycopg
import pytest
import sqlalchemy

from outbox.client import NotInTransaction, emit, emit_sync
from tests.kit.database import Database
from tests.kit.libraries import EACH, Functions, Library

EMIT = Functions(emit, emit_sync)


class RolledBack(Exception):
    """Raised to end a transaction."""


@EACH
async def test_an_event_commits_and_rolls_back_with_the_callers_transaction(
    database: Database, library: Library
) -> None:
    payload = {"amount": Decimal("1.10"), "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}
    async with library.transaction(database.url, EMIT) as call:
        kept = await call("order.confirmed", "SO-1", payload, headers={"tenant": "a"}, version=2, ordered=True)
    with suppress(RolledBack):
        async with library.transaction(database.url, EMIT) as call:
            await call("order.confirmed", "SO-2", {})
            raise RolledBack
    once = set()
    for _ in range(2):
        async with library.transaction(database.url, EMIT) as call:
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
    async with library.autocommit(database.url, EMIT) as call:
        with pytest.raises(NotInTransaction, match="next step: open one around the change and emit"):
            await call("order.confirmed", "SO-1", {})
    refusals = (asyncpg.CheckViolationError, psycopg.errors.CheckViolation, sqlalchemy.exc.IntegrityError)
    with pytest.raises((*refusals, django.db.utils.IntegrityError), match="event_key_fits"):
        async with library.transaction(database.url, EMIT) as call:
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
