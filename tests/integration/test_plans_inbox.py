"""The inbox's hot statements cost what they return, whatever the planner believes about the tables."""

from __future__ import annotations

from outbox.postgres.inbox_store import InboxStore
from tests.kit.database import Database
from tests.kit.inbox import FLOW, HASH, LANES
from tests.kit.work import rows_touched

_ROWS = 40_000


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
            connection, "inbox.delivery", "select * from inbox.fetch($1, 'me', '{}', '{}', 50, false)", FLOW
        )
        assert returned == 1
        assert touched <= 10
        due = await connection.fetchrow("select * from inbox.fetch($1, 'me', '{}', '{}', 50, false)", FLOW)
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
