"""Lanes as the database keeps them: what each of them reads, what that costs, and how their number is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from outbox.model.cursor import PageLimits
from outbox.model.errors import LeaseLost, Misconfigured, SettingsOutdated
from outbox.model.lanes import ONLY_LANE, Lane, lanes_of
from outbox.model.rebase import Choice, Range, Recollection
from outbox.postgres import outbox_store
from outbox.postgres.lanes import lanes_session
from outbox.postgres.outbox_store import OutboxSession, OutboxStore
from outbox.postgres.rebase import rebase_session
from tests.kit.database import Database
from tests.kit.partitions import Reader, days_go_by, reading, states
from tests.kit.waiting import until
from tests.kit.work import rows_touched

STREAM = "outbox.event"
LIMITS = PageLimits(100, 1 << 20, 1 << 20)
_EMIT = "select count(outbox.emit('t', $1, '{}')) from generate_series(1, $2::int)"
_HAS_PASSED = """
select p.sealed_by <= pg_snapshot_xmin(c.previous)
  from outbox.partition p, outbox.cursor c where p.number = 0 and c.stream = $1
"""
_READ_PAGE = """
select * from outbox.read_page($1::text::pg_snapshot, $2::text::pg_snapshot, $3::text::xid8[], $4, $5, 0,
                               100, 8000000::bigint, 1000000, 0, $6, $7, $8)
"""


async def set_lanes(database: Database, lanes: int) -> int:
    """Change the number of lanes; return how many events the plan says will be repeated."""
    async with lanes_session(database.server, STREAM) as session:
        plan = await session.plan(lanes)
        await session.set(lanes)
        return plan.repeated


async def keys_of(database: Database, lane: Lane, count: int = 1) -> list[str]:
    """Return keys that the database puts into a lane."""
    rows = await database.rows(
        "select 'k' || n as key from generate_series(1, 1000) n"
        " where outbox.lane_of('k' || n, 0, $1) = $2 order by n limit $3",
        lane.count,
        lane.number,
        count,
    )
    return [row["key"] for row in rows]


@asynccontextmanager
async def session_of(database: Database, lane: Lane, *, lease_seconds: float = 10.0) -> AsyncIterator[OutboxSession]:
    async with OutboxStore(database.server, LIMITS, lane=lane, lease_seconds=lease_seconds).session() as session:
        yield session


async def read_all(database: Database, lanes: int) -> list[list[int]]:
    """Read a batch of every lane, and save its cursor."""
    read = []
    for lane in lanes_of(STREAM, lanes):
        async with reading(database, lane=lane) as reader:
            read.append(await reader.read())
    return read


async def test_each_event_is_in_one_lane_and_a_lane_is_read_in_order_of_id(database: Database) -> None:
    await set_lanes(database, 4)
    for key in [None, *(f"k{number}" for number in range(20))]:
        await database.value(_EMIT, key, 5)
    read = await read_all(database, 4)
    assert sorted(sequence for ids in read for sequence in ids) == list(range(1, 106))
    assert all(ids == sorted(ids) and ids for ids in read)
    rows = await database.rows("select key, count(distinct outbox.lane_of(key, id, 4)) from outbox.event group by key")
    assert all(row["count"] == 1 for row in rows if row["key"] is not None)
    assert await read_all(database, 4) == [[], [], [], []]


@pytest.mark.parametrize("rows", [0, 10_000])
async def test_a_page_of_a_lane_touches_the_rows_of_all_lanes_once_and_no_more(database: Database, rows: int) -> None:
    async with database.connection() as connection:
        previous = await connection.fetchval("select pg_current_snapshot()::text")
        await connection.execute(
            "insert into outbox.event (type, key, payload)"
            " select 't', 'k' || n % 97, '{}' from generate_series(1, $1::int) n",
            rows,
        )
        batch = await connection.fetchrow("select * from outbox.begin_batch($1::text::pg_snapshot)", previous)
        for lane in lanes_of(STREAM, 4):
            arguments = (previous, batch["current"], "{}", batch["low"], batch["high"], lane.number, lane.count)
            # More often than five times, so that a cached plan is what is looked at.
            for _ in range(7):
                returned, touched = await rows_touched(
                    connection, "outbox.event", _READ_PAGE, *arguments, outbox_store._EVERYTHING
                )
            assert returned == min(rows, LIMITS.max_events)
            assert touched <= 8 * returned, f"{touched} rows read for {returned} of {lane.stream}"
            returned, touched = await rows_touched(
                connection, "outbox.event", _READ_PAGE, *arguments, (batch["low"] or 1) + 50
            )
            assert touched <= 51, "a page looks behind its reach"


async def test_one_lane_costs_nothing_more_than_a_stream_without_lanes(database: Database) -> None:
    await database.value(_EMIT, "k", 300)
    async with database.connection() as connection:
        batch = await connection.fetchrow("select * from outbox.begin_batch('1:1:')")
        arguments = ("1:1:", batch["current"], "{}", batch["low"], batch["high"], 0, 1, outbox_store._EVERYTHING)
        assert await rows_touched(connection, "outbox.event", _READ_PAGE, *arguments) == (100, 100)


async def test_a_lane_with_few_events_goes_through_those_of_others_in_steps(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_store, "_ROWS_LOOKED_AT", 50)
    await set_lanes(database, 2)
    busy, quiet = lanes_of(STREAM, 2)
    (others,), (own,) = await keys_of(database, busy), await keys_of(database, quiet)
    async with database.connection() as straggler:
        transaction = straggler.transaction()
        await transaction.start()
        await straggler.fetchval(_EMIT, others, 120)
        await straggler.fetchval(_EMIT, own, 1)
        await database.value(_EMIT, others, 300)
        await database.value(_EMIT, own, 1)
        async with session_of(database, quiet) as session:
            lead = await session.try_lead()
            assert lead is not None
            reader = Reader(session, lead, lead.cursor, LIMITS)
            assert await reader.read() == [422]
            await transaction.commit()
            batch = await session.begin_batch(reader.cursor)
            page = await session.read_page(reader.cursor.begun(batch.current), batch, 0)
            assert (page.events, page.reach, page.is_last(LIMITS)) == ([], 50, False)
            assert await reader.read() == [121]


async def test_a_lane_that_nobody_publishes_keeps_its_partition(database: Database) -> None:
    await set_lanes(database, 2)
    first, second = lanes_of(STREAM, 2)
    await database.value(_EMIT, (await keys_of(database, second))[0], 1)
    await days_go_by(database)
    async with reading(database, lane=first) as reader:

        async def has_passed() -> object:
            # Strangers in other databases hold xmin back too.
            await reader.read()
            return await database.value(_HAS_PASSED, first.stream)

        await until(has_passed, what="one of two lanes has passed the partition")
        assert (await states(database))["event_p0"] == "closed", "a lane has not passed it"
        async with reading(database, lane=second) as other:
            assert await other.read() == [1]
            await other.passes(database, "event_p0")


async def test_more_lanes_go_on_exactly_where_one_was_also_in_the_middle_of_a_batch(database: Database) -> None:
    await database.value(_EMIT, "k1", 300)
    async with reading(database) as reader:
        batch = await reader.session.begin_batch(reader.cursor)
        await reader.session.save(reader.lead, reader.cursor.begun(batch.current).advanced(180))
    assert await set_lanes(database, 4) == 0
    await database.value(_EMIT, "k1", 5)
    read = [await read_all(database, 4) for _ in range(2)]
    assert sorted(i for lanes in read for ids in lanes for i in ids) == list(range(181, 306))


async def test_fewer_lanes_begin_where_the_slowest_was_and_the_plan_tells_what_is_repeated(database: Database) -> None:
    await set_lanes(database, 4)
    lanes = lanes_of(STREAM, 4)
    for lane in lanes:
        await database.value(_EMIT, (await keys_of(database, lane))[0], 10)
    for lane in lanes[:3]:
        async with reading(database, lane=lane) as reader:
            assert len(await reader.read()) == 10
    assert await set_lanes(database, 2) == 30
    assert sorted(i for ids in await read_all(database, 2) for i in ids) == list(range(1, 41))
    assert await set_lanes(database, 1) == 0
    assert await read_all(database, 1) == [[]]
    changes = await database.rows("select lanes_before, lanes_after, epoch from outbox.lanes_set order by id")
    assert [(row["lanes_before"], row["lanes_after"]) for row in changes] == [(1, 4), (4, 2), (2, 1)]
    assert [row["epoch"] for row in changes] == sorted({row["epoch"] for row in changes})


async def test_nobody_leads_a_new_lane_while_an_old_leader_may_still_publish(database: Database) -> None:
    new = Lane(STREAM, 0, 2)
    async with session_of(database, new) as successor:
        async with session_of(database, ONLY_LANE) as old:
            lead = await old.try_lead()
            assert lead is not None
            await set_lanes(database, 2)
            assert await successor.try_lead() is None
            with pytest.raises(LeaseLost):
                await old.renew(lead, within_seconds=5)
            with pytest.raises(LeaseLost):
                await old.save(lead, lead.cursor)
            # Its session is there, so it may have something on its way: also after the next change.
            await set_lanes(database, 4)
            async with session_of(database, Lane(STREAM, 1, 4)) as third:
                assert await third.try_lead() is None
        async with session_of(database, Lane(STREAM, 1, 4)) as third:
            assert await third.try_lead() is not None
        with pytest.raises(SettingsOutdated, match=r"has 4 lane\(s\) .* relay.lanes: 2"):
            await successor.try_lead()


async def test_a_silent_leader_holds_new_lanes_up_no_longer_than_its_lease(database: Database) -> None:
    async with session_of(database, ONLY_LANE) as frozen:
        assert await frozen.try_lead() is not None
        await set_lanes(database, 2)
        async with session_of(database, Lane(STREAM, 0, 2)) as successor:
            assert await successor.try_lead() is None
            # What the row looks like when the lease is over.
            await database.value("update outbox.cursor set opens_at = clock_timestamp() returning 1")
            assert await successor.try_lead() is not None


async def test_a_change_is_refused_while_nobody_can_answer_for_a_cursor(database: Database) -> None:
    async with lanes_session(database.server, STREAM) as session:
        await database.value("update outbox.cursor set system_identifier = 1 returning 1")
        with pytest.raises(Misconfigured, match="outbox rebase"):
            await session.plan(2)
        with pytest.raises(Misconfigured, match="outbox rebase"):
            await session.set(2)
        await database.value(_EMIT, "k1", 3)
        async with rebase_session(database.server, STREAM) as repair:
            await repair.plan(Choice(Range.ALL), Recollection())
            await repair.rebase(Choice(Range.ALL), published_up_to=None, reason="test")
        with pytest.raises(Misconfigured, match="not published again yet"):
            await session.set(2)
        assert await read_all(database, 1) == [[1, 2, 3]]
        await session.set(2)
        assert await read_all(database, 2) == [[], []]


async def test_a_rebase_moves_all_lanes_and_each_event_of_its_range_is_read_once(database: Database) -> None:
    await set_lanes(database, 3)
    lanes = lanes_of(STREAM, 3)
    for lane in lanes:
        await database.value(_EMIT, (await keys_of(database, lane))[0], 4)
    async with reading(database, lane=lanes[1]) as reader:
        assert len(await reader.read()) == 4
        async with rebase_session(database.server, STREAM) as repair:
            with pytest.raises(Misconfigured, match=r"a relay leads"):
                await repair.rebase(Choice(Range.ALL), published_up_to=None, reason="test")
    async with rebase_session(database.server, STREAM) as repair:
        plan = await repair.plan(Choice(), Recollection())
        assert (plan.unpassed, plan.first_unpassed, plan.last_unpassed) == (8, 1, 12)
        await repair.rebase(Choice(Range.ALL), published_up_to=None, reason="test")
    assert sorted(i for ids in await read_all(database, 3) for i in ids) == list(range(1, 13))
    await database.value(_EMIT, "k1", 1)
    assert [i for ids in await read_all(database, 3) for i in ids] == [13]
    rows = await database.rows("select distinct epoch, settled_epoch, origin, horizon from outbox.cursor")
    assert len({row["horizon"] for row in rows}) == 1
    assert len({row["settled_epoch"] for row in rows}) == 1


async def test_a_process_with_another_number_of_lanes_is_told_both_numbers_and_what_to_do(database: Database) -> None:
    async with session_of(database, Lane(STREAM, 0, 4)) as session:
        with pytest.raises(SettingsOutdated, match=r"has 1 lane\(s\) .* relay.lanes: 4") as told:
            await session.try_lead()
        assert "outbox lanes set 4" in str(told.value)
        with pytest.raises(SettingsOutdated):
            await session.observe(Lane(STREAM, 0, 4).stream)
