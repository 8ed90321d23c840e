"""The traps of a snapshot cursor, one by one (the first ones are in test_cursor_property.py)."""

from __future__ import annotations

import json

import asyncpg
import pytest

from outbox.model.cursor import Cursor, PageLimits
from outbox.model.errors import LeaseLost, Misconfigured
from outbox.model.lanes import Lane
from outbox.postgres.outbox_store import OutboxStore
from tests.kit.database import Database

LIMITS = PageLimits(200, 1 << 20, 1 << 20)


def _store(database: Database, limits: PageLimits = LIMITS) -> OutboxStore:
    return OutboxStore(database.server, limits)


async def test_the_stored_transaction_id_is_the_top_level_one_inside_a_savepoint(database: Database) -> None:
    async with database.connection() as connection, connection.transaction():
        top = await connection.fetchval("select pg_current_xact_id()::text")
        async with connection.transaction():
            await connection.execute("insert into outbox.event (type, key, payload) values ('t', 'k', '{}')")
        row = await connection.fetchrow("select tx::text as stored, xmin::text as system from outbox.event")
    assert row["stored"] == top
    assert row["system"] != top, "the case needs a subtransaction with an id of its own"


async def test_the_message_id_is_no_sequence_number_and_the_application_cannot_set_it(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("set role outbox_writer")
        for column, value in (("event_id", "gen_random_uuid()"), ("tx", "'5'::xid8"), ("created_at", "now()")):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(
                    f"insert into outbox.event (type, payload, {column}) values ('t', '{{}}', {value})"
                )
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.GeneratedAlwaysError)):
            await connection.execute("insert into outbox.event (id, type, payload) values (7, 't', '{}')")


async def test_only_one_session_leads_and_the_next_one_has_a_higher_epoch(database: Database) -> None:
    async with _store(database).session() as first, _store(database).session() as second:
        lead = await first.try_lead()
        assert lead is not None
        assert await second.try_lead() is None
    async with _store(database).session() as third:
        successor = await third.try_lead()
        assert successor is not None
        assert successor.epoch == lead.epoch + 1


async def test_a_save_with_an_old_epoch_is_refused_and_changes_nothing(database: Database) -> None:
    async with _store(database).session() as session:
        lead = await session.try_lead()
        assert lead is not None
        await database.value("update outbox.cursor set epoch = epoch + 1 returning 1")
        with pytest.raises(LeaseLost):
            await session.save(lead, Cursor("100:100:"))
    assert await database.value("select previous::text from outbox.cursor") == lead.cursor.previous


async def test_an_interrupted_batch_goes_on_behind_its_position_after_a_restart(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "insert into outbox.event (type, key, payload) select 't', 'k', '1' from generate_series(1, 10)"
        )
    async with _store(database, PageLimits(4, 1 << 20, 1 << 20)).session() as session:
        lead = await session.try_lead()
        assert lead is not None
        batch = await session.begin_batch(lead.cursor)
        cursor = lead.cursor.begun(batch.current)
        page = await session.read_page(cursor, batch, cursor.position)
        await session.save(lead, cursor.advanced(page.last_sequence()))
    async with database.connection() as connection:
        await connection.execute("insert into outbox.event (type, key, payload) values ('t', 'k', '2')")
    async with _store(database).session() as session:
        lead = await session.try_lead()
        assert lead is not None
        batch = await session.begin_batch(lead.cursor)
        cursor = lead.cursor.begun(batch.current)
        rest = await session.read_page(cursor, batch, cursor.position)
        assert [event.sequence for event in rest.events] == [5, 6, 7, 8, 9, 10], "the open batch, without the newcomer"
        batch = await session.begin_batch(cursor.finished())
        page = await session.read_page(cursor.finished().begun(batch.current), batch, 0)
        assert [event.sequence for event in page.events] == [11]


async def test_an_idle_look_at_the_outbox_finds_nothing_and_costs_no_transaction_id(database: Database) -> None:
    async with database.connection() as connection, connection.transaction():
        batch = await connection.fetchrow("select * from outbox.begin_batch('1:1:')")
        assert (batch["stragglers"], batch["low"]) == ("{}", None)
        assert await connection.fetchval("select pg_current_xact_id_if_assigned()::text") is None


async def test_emit_with_ordered_gives_a_key_its_commit_order_without_a_business_row(database: Database) -> None:
    async with database.connection() as first, database.connection() as second:
        transaction = first.transaction()
        await transaction.start()
        await first.fetchval("select outbox.emit('t', 'k', '1', ordered => true)")
        await second.execute("set lock_timeout = '100ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await second.fetchval("select outbox.emit('t', 'k', '2', ordered => true)")
        await second.fetchval("select outbox.emit('t', 'another key', '3', ordered => true)")
        await transaction.commit()
        await second.fetchval("select outbox.emit('t', 'k', '2', ordered => true)")
    rows = await database.rows("select payload::text as payload from outbox.event where key = 'k' order by id")
    assert [row["payload"] for row in rows] == ["1", "2"]


async def test_a_page_ends_at_its_bytes_and_always_holds_one_event(database: Database) -> None:
    async with database.connection() as connection:
        await connection.executemany(
            "insert into outbox.event (type, key, payload) values ('t', 'k', $1::json)",
            [(json.dumps("x" * size),) for size in (500, 500, 5000, 10)],
        )
    limits = PageLimits(100, 1000, 1 << 20)
    async with _store(database, limits).session() as session:
        lead = await session.try_lead()
        assert lead is not None
        batch = await session.begin_batch(lead.cursor)
        cursor, after, pages = lead.cursor.begun(batch.current), 0, []
        while (page := await session.read_page(cursor, batch, after)).events:
            pages.append([event.sequence for event in page.events])
            after = page.last_sequence()
            if page.is_last(limits):
                break
    assert pages == [[1, 2], [3], [4]]


async def test_a_missing_stream_is_a_clear_error(database: Database) -> None:
    async with OutboxStore(database.server, LIMITS, lane=Lane("outbox.other")).session() as session:
        with pytest.raises(Misconfigured, match=r"there is no stream outbox\.other"):
            await session.try_lead()


async def test_a_policy_that_hides_rows_from_the_relay_is_an_error_and_not_an_empty_outbox(
    database: Database,
) -> None:
    async with database.connection() as connection:
        await connection.execute("insert into outbox.event (type, payload) values ('t', '{}')")
        await connection.execute("alter table outbox.event enable row level security")
        await connection.execute("set role outbox_relay")
        for statement in (
            "select * from outbox.begin_batch('1:1:')",
            "select * from outbox.read_page('1:1:', pg_current_snapshot(), '{}', 1, 9, 0, 10, 1000, 1000)",
            "select * from outbox.waiting('outbox.event', 1)",
            "select * from outbox.observe('outbox.event')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                await connection.fetch(statement)
