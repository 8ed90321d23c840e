"""What the guard believes, and what it does not: each sign of a restore by itself."""

from __future__ import annotations

import asyncio
import uuid

import asyncpg
import pytest

from outbox.model.cursor import Cursor, Lead, PageLimits
from outbox.model.errors import CursorUncertain, LeaseLost
from outbox.model.rebase import Choice, Range, Recollection
from outbox.model.witness import Published, Witness
from outbox.postgres.outbox_store import OutboxSession, OutboxStore
from outbox.postgres.rebase import rebase_session
from outbox.relay.memory import Memory
from tests.kit.database import Database
from tests.kit.work import rows_touched

LIMITS = PageLimits(200, 1 << 20, 1 << 20)
STREAM = "outbox.event"
MOVE_TIMELINE = "update outbox.cursor set timeline = 'FFFFFFFF' returning 1"


def _store(database: Database) -> OutboxStore:
    return OutboxStore(database.server, LIMITS)


async def _lead(session: OutboxSession) -> Lead:
    lead = await session.try_lead()
    assert lead is not None
    return lead


async def _emit(database: Database, count: int) -> list[Published]:
    """Commit events, and return them as a relay of epoch 1 would remember them."""
    rows = await database.rows(
        "insert into outbox.event (type, key, payload) select 't', 'k', '{}' from generate_series(1, $1::int)"
        " returning id, event_id::text",
        count,
    )
    return [Published(1, row["id"], row["event_id"]) for row in rows]


async def _rebase(database: Database, choice: Choice | None = None) -> None:
    async with rebase_session(database.server, STREAM) as session:
        await session.rebase(choice or Choice(), published_up_to=None, reason="a test")


async def _read(session: OutboxSession, cursor: Cursor) -> tuple[list[int], Cursor]:
    """Read one batch, as the relay does."""
    batch = await session.begin_batch(cursor)
    cursor = cursor.begun(batch.current)
    page = await session.read_page(cursor, batch, batch.start(cursor.position))
    return [event.sequence for event in page.events], cursor.finished()


async def test_a_cursor_of_another_cluster_stops_the_relay(database: Database) -> None:
    await database.value("update outbox.cursor set system_identifier = 42 returning 1")
    await _emit(database, 3)
    async with _store(database).session() as session:
        with pytest.raises(CursorUncertain, match=r"another cluster.*Uncertain: 3 of its events, sequence 1 to 3"):
            await session.try_lead()


async def test_a_cursor_of_another_database_of_the_same_cluster_stops_the_relay(database: Database) -> None:
    async with _store(database).session() as session:
        await _lead(session)
    await database.value("update outbox.cursor set database_oid = 1 returning 1")
    async with _store(database).session() as session:
        with pytest.raises(CursorUncertain, match="another database of this cluster"):
            await session.try_lead()


async def test_a_cursor_ahead_of_the_server_stops_the_relay(database: Database) -> None:
    await database.value("update outbox.cursor set previous = '4000000000:4000000000:' returning 1")
    async with _store(database).session() as session:
        with pytest.raises(CursorUncertain, match="has only come to"):
            await session.try_lead()


async def test_rows_ahead_of_the_server_stop_the_relay(database: Database) -> None:
    await database.value("insert into outbox.event (tx, type, payload) values ('4000000000', 't', '{}') returning 1")
    async with _store(database).session() as session:
        with pytest.raises(CursorUncertain, match="has not come to yet"):
            await session.try_lead()


async def test_the_guard_gives_no_false_alarm_while_others_commit(database: Database) -> None:
    async def write(connection: asyncpg.Connection) -> None:
        for _ in range(300):
            await connection.execute("insert into outbox.event (type, payload) values ('t', '{}')")

    async with (
        database.connection() as one,
        database.connection() as two,
        _store(database).session() as session,
        asyncio.TaskGroup() as group,
    ):
        writers = [group.create_task(write(connection)) for connection in (one, two)]
        cursor, memory = (await _lead(session)).cursor, Memory()
        while not all(writer.done() for writer in writers):
            lead = await _lead(session)
            batch = await session.begin_batch(cursor)
            memory.note(lead.epoch, await session.read_page(cursor.begun(batch.current), batch, 0), ())
            assert await session.verify(lead, memory.witness()) is None


async def test_a_new_timeline_is_survived_when_everything_published_exists(database: Database) -> None:
    published = await _emit(database, 3)
    async with _store(database).session() as session:
        assert await session.verify(await _lead(session), None) is None
        await database.value(MOVE_TIMELINE)
        assert await session.verify(await _lead(session), Witness(tuple(published))) == "FFFFFFFF"
        assert await session.verify(await _lead(session), Witness(tuple(published))) is None


async def test_a_new_timeline_stops_the_relay_when_nobody_remembers_the_old_one(database: Database) -> None:
    async with _store(database).session() as session:
        await session.verify(await _lead(session), None)
        await database.value(MOVE_TIMELINE)
        for _ in range(2):
            with pytest.raises(CursorUncertain, match="neither the broker nor this relay remembers"):
                await session.verify(await _lead(session), None)
    await _rebase(database)
    async with _store(database).session() as session:
        assert await session.verify(await _lead(session), None) is None


async def test_a_published_event_that_does_not_exist_stops_the_relay_on_any_timeline(database: Database) -> None:
    published = await _emit(database, 3)
    # Given out again, to another event.
    reissued = Published(1, published[1].sequence, str(uuid.uuid4()))
    async with _store(database).session() as session:
        await session.verify(await _lead(session), Witness(tuple(published)))
        lost = Witness((published[0], reissued, Published(1, 7, str(uuid.uuid4()))))
        with pytest.raises(CursorUncertain, match=r"2 of the last 3 .* do not exist here, sequence 2 to 7"):
            await session.verify(await _lead(session), lost)
    await _rebase(database)
    async with _store(database).session() as session:
        lead = await _lead(session)
        assert await session.verify(lead, lost) is None, "a person has settled it"
        with pytest.raises(CursorUncertain, match="1 of the last 1"):
            await session.verify(lead, Witness((Published(lead.epoch, 8, str(uuid.uuid4())),)))


async def test_an_event_that_was_removed_when_its_time_was_over_is_not_lost(database: Database) -> None:
    published = await _emit(database, 3)
    await database.value("delete from outbox.event where id < 3 returning 1")
    async with _store(database).session() as session:
        assert await session.verify(await _lead(session), Witness(tuple(published))) is None


async def test_a_leader_that_was_replaced_verifies_nothing(database: Database) -> None:
    async with _store(database).session() as session:
        lead = await _lead(session)
        await _lead(session)
        with pytest.raises(LeaseLost):
            await session.verify(lead, None)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), [4, 5, 6]),
        (Choice(Range.ALL), [1, 2, 3, 4, 5, 6]),
        (Choice(Range.FROM, from_sequence=2), [2, 3, 4, 5, 6]),
        (Choice(Range.FROM, from_sequence=99), []),
        (Choice(Range.NOTHING), []),
    ],
    ids=lambda value: str(value.range) if isinstance(value, Choice) else None,
)
async def test_a_rebase_reads_the_range_and_then_everything_new_once(
    database: Database, choice: Choice, expected: list[int]
) -> None:
    await _emit(database, 3)
    async with _store(database).session() as session:
        lead = await _lead(session)
        _, cursor = await _read(session, lead.cursor)
        await session.save(lead, cursor)
    await _emit(database, 3)
    # The rows and the cursor of another server: far ahead of this one.
    await database.value("update outbox.event set tx = (tx::text::bigint + 4000000000)::text::xid8 returning 1")
    await database.value(
        "update outbox.cursor set system_identifier = 42, previous = format('%s:%s:', x, x)::pg_snapshot"
        " from (select pg_snapshot_xmax(previous)::text::bigint + 4000000000 as x from outbox.cursor) as moved"
        " returning 1"
    )
    await _rebase(database, choice)

    async with _store(database).session() as session:
        lead = await _lead(session)
        assert (await session.waiting(100))[0] == len(expected)
        read: list[int] = []
        cursor = lead.cursor
        for _ in range(3):
            sequences, cursor = await _read(session, cursor)
            read += sequences
        assert read == expected
        await session.save(lead, cursor)
        assert await session.waiting(100) == (0, 0.0)
        await _emit(database, 2)
        assert (await session.waiting(100))[0] == 2
        assert (await _read(session, cursor))[0] == [7, 8]


async def test_a_range_that_was_interrupted_goes_on_behind_its_position(database: Database) -> None:
    await _emit(database, 5)
    await _rebase(database, Choice(Range.ALL))
    async with _store(database).session() as session:
        lead = await _lead(session)
        batch = await session.begin_batch(lead.cursor)
        await session.save(lead, lead.cursor.begun(batch.current).advanced(3))
        await _emit(database, 1)
        assert (await session.waiting(100))[0] == 3
    async with _store(database).session() as session:
        sequences, cursor = await _read(session, (await _lead(session)).cursor)
        assert sequences == [4, 5]
        assert (await _read(session, cursor))[0] == [6]


async def test_a_second_rebase_before_the_end_of_the_first_resumes_it(database: Database) -> None:
    await _emit(database, 5)
    await _rebase(database, Choice(Range.FROM, from_sequence=3))
    await _emit(database, 1)
    await _rebase(database)
    async with _store(database).session() as session:
        assert (await _read(session, (await _lead(session)).cursor))[0] == [3, 4, 5, 6]


async def test_a_rebase_raises_a_sequence_that_is_behind_the_rows_or_behind_what_was_published(
    database: Database,
) -> None:
    await _emit(database, 5)
    await database.value("select setval(pg_get_serial_sequence('outbox.event', 'id'), 2)")
    async with rebase_session(database.server, STREAM) as session:
        plan = await session.plan(Choice(), Recollection(remembered=1, highest_sequence=40))
        assert (plan.sequence_value, plan.last_sequence, plan.next_sequence_above()) == (2, 5, 40)
        done = await session.rebase(Choice(), published_up_to=plan.next_sequence_above(), reason="a test")
    assert done.sequence_after == 40
    assert [one.sequence for one in await _emit(database, 1)] == [41]


async def test_a_rebase_that_is_cut_off_in_the_middle_changes_nothing(database: Database) -> None:
    await _emit(database, 5)
    before = await database.rows("select * from outbox.cursor")
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("select outbox.rebase($1, 'all', null, null, 5, '9:9:', 5, 5, 'cut off')", STREAM)
        await transaction.rollback()
    assert await database.rows("select * from outbox.cursor") == before
    assert await database.rows("select from outbox.rebase") == []


async def test_looking_for_new_events_reads_none_of_the_rows_of_another_server(database: Database) -> None:
    await database.value(
        "insert into outbox.event (tx, type, payload) select '4000000000', 't', '{}' from generate_series(1, 20000)"
        " returning 1"
    )
    await _rebase(database, Choice(Range.NOTHING))
    async with database.connection() as connection:
        previous = await connection.fetchval("select previous::text from outbox.cursor")
        for _ in range(8):
            _, touched = await rows_touched(
                connection,
                "outbox.event",
                "select * from outbox.begin_batch($1::text::pg_snapshot, null, 20000)",
                previous,
            )
            assert touched <= 1
