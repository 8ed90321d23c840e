"""Idempotent emit: one key, one event, also when two transactions race; keys are forgotten in small steps."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tests.integration.test_permissions import connected, login
from tests.kit.database import Database
from tests.kit.waiting import until

_EMIT = "select outbox.emit('order.confirmed', 'SO-1', $1::text::json, idempotency_key => 'order-1')"
_COUNT = "select count(*) from outbox.event"


async def test_the_same_key_again_adds_nothing_and_answers_the_same(database: Database) -> None:
    first = await database.value(_EMIT, '{"a": 1}')
    async with database.connection() as erp, erp.transaction():
        again = [await erp.fetchval(_EMIT, '{"a": 1}') for _ in range(2)]
        other = await erp.fetchval("select outbox.emit('order.confirmed', 'SO-1', '{}', idempotency_key => 'order-2')")
    assert again == [first, first]
    rows = await database.rows("select event_id from outbox.event order by id")
    assert [row["event_id"] for row in rows] == [first, other]
    # Calls of before this parameter existed.
    assert await database.value("select outbox.emit('a', 'k', '1', '{}', 1, true)")


async def test_emit_once_says_whether_the_event_is_new(database: Database) -> None:
    once = _EMIT.replace("select outbox.emit(", "select * from outbox.emit_once(")
    first, again = await database.rows(once, "{}"), await database.rows(once, "{}")
    event_id = await database.value(_EMIT, "{}")
    assert [tuple(row) for row in (*first, *again)] == [(event_id, True), (event_id, False)]
    assert await database.value(_COUNT) == 1


@pytest.mark.parametrize(
    "other",
    [
        "select outbox.emit('order.confirmed', 'SO-1', '{\"a\":  1}', idempotency_key => 'order-1')",
        "select outbox.emit('order.confirmed', null, '{\"a\": 1}', idempotency_key => 'order-1')",
        "select outbox.emit('order.cancelled', 'SO-1', '{\"a\": 1}', idempotency_key => 'order-1')",
        "select outbox.emit('order.confirmed', 'SO-1', '{\"a\": 1}', null, 2, idempotency_key => 'order-1')",
    ],
    ids=["payload", "key", "type", "version"],
)
async def test_another_event_under_the_same_key_is_an_error_that_says_so(database: Database, other: str) -> None:
    await database.value(_EMIT, '{"a": 1}')
    # A retry has a trace of its own.
    await database.value(_EMIT.replace("$1::text::json,", '$1::text::json, \'{"traceparent": "x"}\','), '{"a": 1}')
    with pytest.raises(asyncpg.PostgresError, match="the idempotency key 'order-1' stands for another event") as caught:
        await database.value(other)
    assert caught.value.sqlstate == "OB020"
    assert caught.value.hint == "give every event a key of its own, or repeat the first call exactly"
    assert await database.value(_COUNT) == 1


@pytest.mark.parametrize("is_kept", [True, False], ids=["commit", "rollback"])
async def test_the_second_of_two_transactions_waits_for_the_first(database: Database, is_kept: bool) -> None:
    async with database.connection() as first, database.connection() as second, asyncio.TaskGroup() as group:
        transaction = first.transaction()
        await transaction.start()
        one = await first.fetchval(_EMIT, "{}")
        waiting = group.create_task(second.fetchval(_EMIT, "{}"))
        blocked = "select pg_blocking_pids($1) = array[$2::int]"
        pids = second.get_server_pid(), first.get_server_pid()
        await until(lambda: database.value(blocked, *pids), what="the second waits")
        await (transaction.commit() if is_kept else transaction.rollback())
        two = await waiting
    assert (one == two) is is_kept
    rows = await database.rows("select event_id from outbox.event")
    assert [row["event_id"] for row in rows] == [two]


async def test_a_race_under_repeatable_read_fails_to_be_repeated_as_any_other(database: Database) -> None:
    async with database.connection() as erp:
        transaction = erp.transaction(isolation="repeatable_read")
        await transaction.start()
        await erp.fetchval(_COUNT)
        await database.value(_EMIT, "{}")
        with pytest.raises(asyncpg.SerializationError):
            await erp.fetchval(_EMIT, "{}")
        await transaction.rollback()
    assert await database.value(_COUNT) == 1


async def test_a_rolled_back_key_can_be_used_again_and_a_bad_one_is_refused(database: Database) -> None:
    async with database.connection() as erp, erp.transaction():
        savepoint = erp.transaction()
        await savepoint.start()
        await erp.fetchval(_EMIT, "{}")
        await savepoint.rollback()
        await erp.fetchval(_EMIT, '{"other": "body"}')
    assert await database.value(_COUNT) == 1
    with pytest.raises(asyncpg.CheckViolationError, match="emitted_key_fits"):
        await database.value("select outbox.emit('t', null, '1', idempotency_key => '')")


async def test_old_keys_are_forgotten_in_small_steps_that_wait_for_nobody(database: Database) -> None:
    prune = "select outbox.prune_emitted('30 days', 4)"
    async with database.connection() as erp:
        await erp.execute(
            "select outbox.emit('t', null, '1', idempotency_key => 'k' || n) from generate_series(1, 12) n"
        )
        await erp.execute(
            "update outbox.emitted set created_at = now() - interval '31 days' where idempotency_key <> 'k1'"
        )
        async with erp.transaction():
            await erp.execute("select from outbox.emitted where idempotency_key = 'k2' for update")
            async with login(database, "outbox_relay") as url, connected(url) as relay:
                assert [await relay.fetchval(prune) for _ in range(4)] == [4, 4, 2, 0]
        assert await erp.fetchval(prune) == 1
        # Forgotten: the same key makes a new event.
        before = await erp.fetchval(_COUNT)
        await erp.execute(
            "select outbox.emit('t', null, '1', idempotency_key => 'k' || n) from generate_series(1, 2) n"
        )
        assert await erp.fetchval(_COUNT) == before + 1
