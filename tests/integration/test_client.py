"""What applications import: an event is part of the caller's transaction."""

from __future__ import annotations

import json
from decimal import Decimal

import asyncpg
import pytest

from outbox.client import emit
from tests.kit.database import Database


async def test_an_event_commits_and_rolls_back_with_the_callers_transaction(database: Database) -> None:
    async with database.connection() as connection:
        async with connection.transaction():
            kept = await emit(
                connection, "order.confirmed", "SO-1", {"amount": "1.10"}, headers={"tenant": "a"}, version=2
            )
        transaction = connection.transaction()
        await transaction.start()
        await emit(connection, "order.confirmed", "SO-2", {})
        await transaction.rollback()
    rows = await database.rows("select * from outbox.event")
    assert [row["event_id"] for row in rows] == [kept]
    assert (rows[0]["type"], rows[0]["key"], rows[0]["version"]) == ("order.confirmed", "SO-1", 2)
    assert json.loads(rows[0]["headers"]) == {"tenant": "a"}


async def test_json_text_is_kept_byte_for_byte(database: Database) -> None:
    text = '{"b": 0.10, "a":1e400,  "id": 12345678901234567890123}'
    async with database.connection() as connection:
        await emit(connection, "t", None, text)
        await emit(connection, "t", None, text.encode())
    assert {row["payload"] for row in await database.rows("select payload from outbox.event")} == {text}


async def test_a_value_that_json_cannot_hold_exactly_is_refused_here(database: Database) -> None:
    async with database.connection() as connection:
        with pytest.raises(TypeError):
            await emit(connection, "t", None, {"amount": Decimal("1.10")})


async def test_what_could_never_be_published_is_refused_at_insert(database: Database) -> None:
    async with database.connection() as connection:
        with pytest.raises(asyncpg.CheckViolationError, match="event_key_fits"):
            await emit(connection, "order.confirmed", "k" * 513, {})
