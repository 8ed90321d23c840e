"""The inbox's hot statements cost what they return, whatever the planner believes about the tables."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import asyncpg

from outbox.model.delivery import State
from outbox.postgres.inbox_store import PARKED_UP_TO, InboxStore
from tests.kit.database import Database
from tests.kit.inbox import FLOW, HASH, LANES, Inbox, applied, arrival
from tests.kit.work import rows_touched, touched_by

_ROWS = 40_000
_DUE, _LOOK = "inbox.delivery_due", "inbox.delivery_look"
_ENTRIES_READ = "select pg_stat_get_xact_tuples_returned($1::text::regclass)"
T = TypeVar("T")


async def test_one_poison_key_with_many_behind_it_costs_the_others_nothing(database: Database) -> None:
    async with InboxStore(database.server).session(FLOW) as session:
        await session.register(LANES)
        await session.hold_lanes("me", 60)
    async with database.connection() as connection:
        await connection.execute("alter table inbox.delivery set (autovacuum_enabled = off)")
        await connection.execute(
            "insert into inbox.delivery (flow, message_id, sequence, type, version, key, lane, state)"
            " select $1::text, 'm' || n, n, 't', 1, 'poison', outbox.lane_of('poison', n, 4), 'blocked'"
            " from generate_series(2, $2::int) n",
            FLOW,
            _ROWS,
        )
        await connection.execute(
            "insert into inbox.delivery (flow, message_id, sequence, type, version, key, lane, state, settled_at,"
            " reason, reason_class) values"
            " ($1, 'm1', 1, 't', 1, 'poison', outbox.lane_of('poison', 1, 4), 'dead', now(), 'never', 'rejected')",
            FLOW,
        )
        accept = (
            "select * from inbox.accept($1, $2, $3, '{t}', '{1}', '{good}', '{\"{}\"}', '{\"\"}', '{null}', '{null}',"
            " '{null}', false, 'park', 0)"
        )
        for number in range(_ROWS + 1, _ROWS + 8):
            _, touched = await rows_touched(connection, "inbox.delivery", accept, FLOW, [f"m{number}"], [number])
            assert touched <= 10
        await connection.execute(accept, FLOW, ["good"], [_ROWS + 9])
        returned, touched = await rows_touched(
            connection, "inbox.delivery", "select * from inbox.fetch($1, 'me', '{}', '{}', 50, false, null)", FLOW
        )
        assert returned == 1
        assert touched <= 10
        due = await connection.fetchrow("select * from inbox.fetch($1, 'me', '{}', '{}', 50, false, null)", FLOW)
        _, touched = await rows_touched(
            connection,
            "inbox.delivery",
            "select * from inbox.begin_calls($1, 'me', $2, $3, array['send'], $4, array[null], array['v'],"
            " array[false], array[false])",
            FLOW,
            [due["id"]],
            [due["epoch"]],
            [HASH],
        )
        assert touched <= 10


async def test_a_backlog_costs_what_is_taken_of_it_also_by_plans_that_were_made_before(database: Database) -> None:
    table = "inbox.delivery"
    async with InboxStore(database.server).session(FLOW) as session:
        connection = session._connection
        inbox = Inbox(session, database)
        await session.register(LANES)
        await inbox.hold()
        # Every plan is made while there is next to nothing, and kept.
        await inbox.accept(arrival(1, "early"), arrival(2, "early"), arrival(3, None), arrival(5, "late"))
        await inbox.accept(arrival(1, "early"), arrival(4, "late"))
        assert await inbox.park((await inbox.due())[0], State.DEAD)
        assert len(await inbox.apply_all()) > 1
        await connection.execute("alter table inbox.delivery set (autovacuum_enabled = off)")
        await connection.execute(
            "with due as ("
            "insert into inbox.delivery (flow, message_id, sequence, type, version, key, lane, state, due_at)"
            " select $1::text, 'm' || n, n, 't', 1, 'k' || n, outbox.lane_of('k' || n, n, 4), 'ready', now()"
            " from generate_series(100, $2::int) n returning id)"
            " insert into inbox.message (delivery_id, headers, body) select id, '{}', '{}' from due",
            FLOW,
            _ROWS,
        )
        transaction = connection.transaction()
        await transaction.start()

        due, touched = await touched_by(connection, table, inbox.due(20))
        assert (len(due), touched <= 20 * 10) == (20, True), touched
        newest, touched = await touched_by(connection, table, inbox.due(20, newest_first=True))
        assert (len(newest), touched <= 20 * 10) == (20, True), touched
        begun, touched = await touched_by(connection, table, inbox.begin(*due[:15]))
        assert (len(begun), touched <= 15 * 10) == (15, True), touched
        # The next of its key becomes ready.
        await inbox.accept(arrival(_ROWS + 1, due[0].key))
        settled, touched = await touched_by(connection, table, inbox.settle(*[applied(one) for one in due[:15]]))
        assert (len(settled), touched <= 15 * 10) == (15, True), touched
        parked, touched = await touched_by(connection, table, inbox.park(due[15], State.DEAD))
        assert (len(parked), touched <= 10) == (1, True), touched
        counts, touched = await touched_by(
            connection,
            table,
            inbox.accept(
                arrival(_ROWS + 2, None),
                arrival(_ROWS + 3, due[16].key),
                # Before one that waits: they change places.
                arrival(50, due[17].key),
                arrival(due[18].sequence, due[18].key, message_id=due[18].message_id),
            ),
        )
        assert (counts.accepted, counts.duplicates, touched <= 4 * 10) == (3, 1, True), touched
        waiting, touched = await touched_by(connection, table, session.waiting(100))
        assert (waiting, touched <= 3 * 100) == (100, True), touched
        # Spread over the time to come: nothing that waits, and nothing that is walked.
        await connection.execute("update inbox.delivery set due_at = now() + interval '1 day' where state = 'ready'")
        waiting, touched = await touched_by(connection, table, session.waiting(100))
        assert (waiting, touched <= 10) == (0, True), touched
        await transaction.rollback()


async def test_a_look_at_how_a_flow_stands_costs_its_bounds_however_much_is_parked_or_waits(database: Database) -> None:
    async with InboxStore(database.server).session(FLOW) as session:
        connection = session._connection
        await session.register(LANES)
        await session.hold_lanes("me", 60)
        # The plans are made while there is nothing, and kept.
        empty = await session.observe("me")
        assert empty is not None
        assert (empty.dead, empty.in_doubt, empty.blocked, empty.oldest_due_age_seconds) == (0, 0, 0, 0.0)
        await connection.execute("alter table inbox.delivery set (autovacuum_enabled = off)")
        for state in ("ready", "blocked", "dead", "in_doubt", "applied"):
            await connection.execute(
                "insert into inbox.delivery (flow, message_id, sequence, type, version, key, lane, state, due_at,"
                " settled_at, reason, reason_class, first_sent_at, last_sent_at, request_sha256)"
                " select $1::text, $2 || n, n, 't', 1, $2 || n, n % 4, $2,"
                " case when $2 = 'ready' then now() - make_interval(secs => n) end,"
                " case when $2 in ('dead', 'applied') then now() end,"
                " 'why', 'test', now(), now(), '' from generate_series(1, $3::int) n",
                FLOW,
                state,
                _ROWS // 5,
            )
        transaction = connection.transaction()
        await transaction.start()
        seen, touched = await touched_by(connection, "inbox.delivery", session.observe("me"))
        assert seen is not None
        assert (seen.dead, seen.in_doubt, seen.blocked) == (PARKED_UP_TO, PARKED_UP_TO, PARKED_UP_TO)
        assert seen.oldest_due_age_seconds >= _ROWS // 5
        # Three counts, the oldest of each lane, and a hundred in doubt among which one may not be parked.
        assert touched <= 3 * PARKED_UP_TO + 2 * LANES + 100
        _, touched = await touched_by(connection, "inbox.delivery", session.observe("another"))
        assert touched == 0
        await transaction.rollback()
        # What waits for its time is not late.
        await connection.execute("update inbox.delivery set due_at = now() + interval '1 hour' where state = 'ready'")
        later = await session.observe("me")
        assert later is not None
        assert later.oldest_due_age_seconds == 0


async def test_the_skipped_are_listed_at_the_cost_of_what_is_shown(database: Database) -> None:
    async with InboxStore(database.server).session(FLOW) as session:
        await session.register(LANES)
    async with database.connection() as connection:
        await connection.execute("alter table inbox.delivery set (autovacuum_enabled = off)")
        await connection.execute(
            "insert into inbox.delivery (flow, message_id, sequence, type, version, lane, state, settled_at)"
            " select $1::text, 'm' || n, n, 't', 1, 0, case when n % 100 = 0 then 'skipped' else 'applied' end, now()"
            " from generate_series(1, $2::int) n",
            FLOW,
            _ROWS,
        )
        listed = "select * from inbox.parked(null, array['skipped'], null, null, null, null, null, 0, 50)"
        returned, touched = await rows_touched(connection, "inbox.delivery", listed)
    assert returned == 50
    assert touched <= 100


async def test_a_look_passes_over_what_a_strangers_transaction_keeps_of_what_was_applied(database: Database) -> None:
    """A report or a dump holds the horizon: no entry of the index can go, however often it is vacuumed."""
    async with InboxStore(database.server).session(FLOW) as session, database.connection() as report:
        await session.register(LANES)
        await session.hold_lanes("me", 60)
        await report.execute("begin isolation level repeatable read; select 1")
        connection = session._connection
        await connection.execute("alter table inbox.delivery set (autovacuum_enabled = off)")
        await connection.execute(
            "insert into inbox.delivery (flow, message_id, sequence, type, version, key, lane, state, due_at)"
            " select $1::text, 'm' || n, n, 't', 1, 'k' || n, outbox.lane_of('k' || n, n, 4), 'ready',"
            " now() - interval '1 minute' from generate_series(1, $2::int) n",
            FLOW,
            _ROWS,
        )
        await connection.execute(
            "update inbox.delivery set state = 'dead', due_at = null, settled_at = now(), reason = 'r',"
            " reason_class = 'c'"
        )
        await Inbox(session, database).accept(arrival(_ROWS + 1, "new"))

        (due,), whole = await _entries_read(connection, session.fetch("me", [], 20))
        (same,), read = await _entries_read(connection, session.fetch("me", [], 20, reach_seconds=due.due_seconds + 2))
        assert whole >= _ROWS, "the test has its problem"
        assert (same.id, read <= 20) == (due.id, True), read

        _, whole = await _entries_read(connection, session.observe("me"))
        standing, read = await _entries_read(connection, session.observe("me", due.due_seconds + 2))
        assert whole >= _ROWS, "it would have the same problem"
        assert standing is not None
        assert (standing.oldest_due_age_seconds > 0, read <= 20) == (True, True), read


async def test_a_look_at_what_waits_passes_over_what_a_strangers_transaction_keeps_of_former_looks(
    database: Database,
) -> None:
    async with InboxStore(database.server).session(FLOW) as session, database.connection() as report:
        await session.register(LANES)
        await session.hold_lanes("me", 60)
        await report.execute("begin isolation level repeatable read; select 1")
        connection = session._connection
        await connection.execute("alter table inbox.delivery set (autovacuum_enabled = off)")
        await connection.execute(
            "insert into inbox.delivery (flow, message_id, sequence, type, version, key, lane, state, look_at,"
            " waits_since, waits_until, waits_for, reason, reason_class)"
            " select $1::text, 'm' || n, n, 't', 1, 'k' || n, outbox.lane_of('k' || n, n, 4), 'ready',"
            " now() - interval '1 minute', now(), now() + interval '1 hour', '[]', 'r', 'waits'"
            " from generate_series(1, $2::int) n",
            FLOW,
            _ROWS,
        )
        await connection.execute(
            "update inbox.delivery set look_at = case when sequence <= 4 then now() else 'infinity' end"
        )

        looks, whole = await _entries_read(connection, session.waits("me", 1_000), _LOOK)
        reach_seconds = max(look.due_seconds for look in looks) + 2
        same, read = await _entries_read(connection, session.waits("me", 1_000, reach_seconds), _LOOK)
        assert whole >= _ROWS, "the test has its problem"
        assert ({look.id for look in same}, read <= 8) == ({look.id for look in looks}, True), read
        assert len(same) == 4


async def _entries_read(connection: asyncpg.Connection, work: Awaitable[T], index: str = _DUE) -> tuple[T, int]:
    """Do work in a transaction; return (its result, entries read of an index, the dead ones too)."""
    async with connection.transaction():
        before = await connection.fetchval(_ENTRIES_READ, index)
        result = await work
        return result, await connection.fetchval(_ENTRIES_READ, index) - before
