"""The hot statements cost what they return, whatever the planner believes about the tables."""

from __future__ import annotations

import asyncpg
import pytest

from outbox.postgres.inbox_store import InboxStore
from tests.kit.database import Database
from tests.kit.inbox import FLOW, HASH, LANES
from tests.kit.work import rows_touched

_ROWS = 40_000
_PAGE = 200
_READ_PAGE = (
    "select * from outbox.read_page('1:1:', $1::text::pg_snapshot, '{}', $2, $3, $4, 200, 8000000::bigint, 1000000)"
)


# As in the first minutes of a spike: taken when the table was empty, and never since.
_STATISTICS_OF_AN_EMPTY_TABLE = "alter table outbox.event set (autovacuum_enabled = off); analyze outbox.event"


async def _fill(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "insert into outbox.event (type, key, payload)"
        " select 't', 'k' || n % 100, '{}' from generate_series(1, $1::int) n",
        _ROWS,
    )


@pytest.mark.parametrize("statistics", ["stale", "fresh"])
async def test_a_page_of_a_backlog_reads_a_page_of_rows(database: Database, statistics: str) -> None:
    async with database.connection() as connection:
        await connection.execute(_STATISTICS_OF_AN_EMPTY_TABLE)
        await _fill(connection)
        if statistics == "fresh":
            await connection.execute("analyze outbox.event")
        batch = await connection.fetchrow("select * from outbox.begin_batch('1:1:')")
        # More than five calls, so that a generic plan would be chosen if the planner liked one.
        for after in (*range(0, 8 * _PAGE, _PAGE), _ROWS // 2, _ROWS - _PAGE):
            returned, touched = await rows_touched(
                connection, "outbox.event", _READ_PAGE, batch["current"], batch["low"], batch["high"], after
            )
            assert returned == _PAGE
            assert touched <= 2 * _PAGE, f"{touched} rows read for a page of {_PAGE} after {after}"


async def test_a_new_batch_does_not_look_at_what_is_published(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(_STATISTICS_OF_AN_EMPTY_TABLE)
        await _fill(connection)
        previous = await connection.fetchval("select pg_current_snapshot()::text")
        for expected in (0, 3):
            for _ in range(expected):
                await connection.execute("insert into outbox.event (type, payload) values ('t', '{}')")
            for _ in range(8):
                _, touched = await rows_touched(
                    connection,
                    "outbox.event",
                    "select * from outbox.begin_batch($1::text::pg_snapshot)",
                    previous,
                )
                assert touched <= expected + 1


async def test_one_poison_key_with_many_behind_it_costs_the_others_nothing(database: Database) -> None:
    async with InboxStore(database.server).session(FLOW) as session:
        await session.register(LANES)
        await session.hold_lanes("me", 60)
    async with database.connection() as connection:
        await connection.execute("alter table inbox.delivery set (autovacuum_enabled = off)")
        await connection.execute(
            "insert into inbox.delivery (flow, message_id, sequence, type, version, key, lane, state)"
            " select $1::text, 'm' || n, n, 't', 1, 'poison', inbox.lane_of('poison', n, 4), 'blocked'"
            " from generate_series(2, $2::int) n",
            FLOW,
            _ROWS,
        )
        await connection.execute(
            "insert into inbox.delivery (flow, message_id, sequence, type, version, key, lane, state, settled_at,"
            " reason, reason_class) values"
            " ($1, 'm1', 1, 't', 1, 'poison', inbox.lane_of('poison', 1, 4), 'dead', now(), 'never', 'rejected')",
            FLOW,
        )
        accept = (
            "select * from inbox.accept($1, $2, $3, '{t}', '{1}', '{good}', '{\"{}\"}', '{\"\"}', '{null}', '{null}')"
        )
        for number in range(_ROWS + 1, _ROWS + 8):
            _, touched = await rows_touched(connection, "inbox.delivery", accept, FLOW, [f"m{number}"], [number])
            assert touched <= 10
        await connection.execute(accept, FLOW, ["good"], [_ROWS + 9])
        returned, touched = await rows_touched(
            connection, "inbox.delivery", "select * from inbox.fetch($1, 'me', '{}', 50)", FLOW
        )
        assert returned == 1
        assert touched <= 10
        due = await connection.fetchrow("select * from inbox.fetch($1, 'me', '{}', 50)", FLOW)
        _, touched = await rows_touched(
            connection,
            "inbox.delivery",
            "select * from inbox.begin_calls($1, 'me', $2, $3, $4)",
            FLOW,
            [due["id"]],
            [due["epoch"]],
            [HASH],
        )
        assert touched <= 10
