"""The outbox's two hot statements cost what they return: at no rows, at thousands and at millions, with statistics that
were taken when the table was empty and never since, as in the first minutes of a spike.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.kit.database import Database
from tests.kit.partitions import IDS, INSERT
from tests.kit.waiting import until
from tests.kit.work import nodes, plans_inside, rows_touched, tree

_PAGE = 200
_OLD_PARTITIONS = 35
_FIRST_ID = (_OLD_PARTITIONS + 1) * IDS
_STRAGGLERS = 50
_BEGIN_BATCH = "select * from outbox.begin_batch($1::text::pg_snapshot)"
_READ_PAGE = """
select * from outbox.read_page($1::text::pg_snapshot, $2::text::pg_snapshot, $3::text::xid8[], $4, $5, $6,
                               200, 8000000::bigint, 1000000)
"""
_OLD_DAYS = f"""
alter table outbox.event_p0 set (autovacuum_enabled = off);
alter table outbox.event_default set (autovacuum_enabled = off);
select outbox.create_partitions({_OLD_PARTITIONS});
insert into outbox.event (id, type, payload) overriding system value
    select n * {IDS} + 1, 't', '{{}}' from generate_series(0, {_OLD_PARTITIONS}) n;
create table outbox.event_p{_OLD_PARTITIONS + 1} (like outbox.event including all excluding identity excluding indexes);
alter table outbox.event_p{_OLD_PARTITIONS + 1} set (autovacuum_enabled = off);
"""
# Each third of the backlog is one transaction. What need not differ is given, so that millions are there in seconds.
_THIRD = f"""
insert into outbox.event_p{_OLD_PARTITIONS + 1} (id, event_id, created_at, type, key, payload)
select {_FIRST_ID} + $1 + n, '00000000-0000-4000-8000-000000000000', '2026-01-01', 't', 'k', '{{}}'
  from generate_series(1, $2::bigint) n
"""
_TODAY = f"""
alter table outbox.event_p{_OLD_PARTITIONS + 1} add primary key (id);
create index on outbox.event_p{_OLD_PARTITIONS + 1} (tx, id);
alter table outbox.event attach partition outbox.event_p{_OLD_PARTITIONS + 1}
    for values from ({_FIRST_ID}) to ({_FIRST_ID + IDS});
insert into outbox.partition (number, opened_at) values ({_OLD_PARTITIONS + 1}, now());
"""
# The index builds have counted the rows.
_STATISTICS_OF_AN_EMPTY_TABLE = """
update pg_class set reltuples = 0, relpages = 0, relallvisible = 0
 where oid in (select relid from pg_partition_tree('outbox.event')) or oid in (
       select i.indexrelid from pg_index i where i.indrelid in (select relid from pg_partition_tree('outbox.event')))
"""


@asynccontextmanager
async def _a_month_and(rows: int, database: Database) -> AsyncIterator[tuple[asyncpg.Connection, str, str]]:
    """Make a month of passed partitions, and one of today with this many rows.

    Yields a connection, the snapshot before today's rows, and one after them that a straggler is missing in; the
    straggler has committed since.
    """
    async with database.connection() as connection, database.connection() as straggler:
        await connection.execute(_OLD_DAYS)
        await connection.execute(f"select setval('outbox.event_id_seq', {_FIRST_ID + rows + 1}, false)")
        await connection.execute("select * from outbox.seal_partitions()")

        async def month_is_passed() -> bool:
            floor = await database.value("select outbox.published_below(pg_current_snapshot())")
            return floor == _FIRST_ID

        await until(month_is_passed, what="nobody can write into the old partitions any more")
        before = await connection.fetchval("select pg_current_snapshot()::text")
        for third in range(3):
            await connection.execute(_THIRD, third * (rows // 3), rows // 3 if third < 2 else rows - 2 * (rows // 3))
        await connection.execute(_TODAY)
        await connection.execute("select outbox.create_partitions(3)")
        await connection.execute(_STATISTICS_OF_AN_EMPTY_TABLE)
        transaction = straggler.transaction()
        await transaction.start()
        for _ in range(_STRAGGLERS):
            await straggler.fetchval(INSERT, "straggler")
        # Above the straggler's, so that the next snapshot has it as a member.
        await database.value("select pg_current_xact_id()::text")
        after = await connection.fetchval("select pg_current_snapshot()::text")
        await transaction.commit()
        yield connection, before, after


@pytest.mark.parametrize(
    "rows", [0, 10_000, pytest.param(5_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]
)
async def test_both_hot_statements_touch_what_they_return_however_many_rows_wait(database: Database, rows: int) -> None:
    async with _a_month_and(rows, database) as (connection, before, after):
        _, touched = await rows_touched(connection, "outbox.event", "select * from outbox.take_lead('outbox.event')")
        assert touched <= 1, "taking the lead must not look through the table"
        await _check_begin_batch(connection, after)
        await _check_read_page(connection, before, after, rows)
        if await plans_inside(connection, "select 1") is None:
            pytest.skip("the rows were counted; the shapes of the plans need auto_explain, which this build has not")


async def test_a_straggler_is_found_by_its_transaction_though_statistics_know_of_another_only(
    database: Database,
) -> None:
    """As after an import in one transaction: to the planner, any row is as likely the straggler's as any other."""
    async with database.connection() as connection, database.connection() as straggler:
        await connection.execute(
            "insert into outbox.event (type, payload) select 't', '{}' from generate_series(1, 10000)"
        )
        await connection.execute("analyze outbox.event")
        transaction = straggler.transaction()
        await transaction.start()
        await straggler.fetchval(INSERT, "straggler")
        await database.value("select pg_current_xact_id()::text")
        previous = await connection.fetchval("select pg_current_snapshot()::text")
        await transaction.commit()
        for _ in range(7):
            batch = await connection.fetchrow(_BEGIN_BATCH, previous)
            _, touched = await rows_touched(connection, "outbox.event", _BEGIN_BATCH, previous)
            assert touched <= 2, _shown(await plans_inside(connection, _BEGIN_BATCH, previous))
            arguments = (previous, batch["current"], batch["stragglers"], batch["low"], batch["high"], 0)
            returned, touched = await rows_touched(connection, "outbox.event", _READ_PAGE, *arguments)
            assert (returned, touched) == (1, 1), _shown(await plans_inside(connection, _READ_PAGE, *arguments))


async def _check_begin_batch(connection: asyncpg.Connection, after: str) -> None:
    # More often than five times, so that a cached plan is what is looked at.
    for fresh in (0, 3, 3, 3, 3, 3, 3):
        await connection.execute(
            "insert into outbox.event (type, payload) select 't', '{}' from generate_series(1, $1::int)", fresh
        )
        previous = await connection.fetchval("select pg_current_snapshot()::text")
        _, touched = await rows_touched(connection, "outbox.event", _BEGIN_BATCH, previous)
        plans = await plans_inside(connection, _BEGIN_BATCH, previous)
        assert touched <= 2, f"an idle look reads {touched} rows\n{_shown(plans)}"
        _check_pruning(plans)
    _, touched = await rows_touched(connection, "outbox.event", _BEGIN_BATCH, after)
    plans = await plans_inside(connection, _BEGIN_BATCH, after)
    assert touched <= 18 + _STRAGGLERS, f"{touched} rows read to find 18 and a straggler\n{_shown(plans)}"


async def _check_read_page(connection: asyncpg.Connection, before: str, after: str, rows: int) -> None:
    batch = await connection.fetchrow(_BEGIN_BATCH, before)
    waiting = rows + _STRAGGLERS + 18
    for passed in (0, 1, _PAGE, 2 * _PAGE, rows // 3 - 1, rows // 2, rows - _PAGE // 2, rows):
        start = max(_FIRST_ID + passed, batch["floor"] - 1)
        arguments = (before, batch["current"], "{}", batch["low"], batch["high"], start)
        returned, touched = await rows_touched(connection, "outbox.event", _READ_PAGE, *arguments)
        plans = await plans_inside(connection, _READ_PAGE, *arguments)
        assert returned == min(_PAGE, max(waiting - max(passed, 0), 0)), passed
        assert touched <= 2 * _PAGE, f"{touched} rows read for a page after {passed}\n{_shown(plans)}"
        _check_pruning(plans)
        for plan in plans or ():
            for node in nodes(plan):
                is_sort = node["Node Type"] in {"Sort", "Incremental Sort"}
                assert not is_sort or node["Actual Rows"] <= 2 * _PAGE, _shown(plans)
    batch = await connection.fetchrow(_BEGIN_BATCH, after)
    assert batch["stragglers"] != "{}"
    arguments = (
        after, batch["current"], batch["stragglers"], batch["low"], batch["high"], batch["floor"] - 1,
    )  # fmt: skip
    returned, touched = await rows_touched(connection, "outbox.event", _READ_PAGE, *arguments)
    plans = await plans_inside(connection, _READ_PAGE, *arguments)
    assert returned == _STRAGGLERS + 18
    assert touched <= 2 * returned, f"{touched} rows read for {returned}\n{_shown(plans)}"


def _check_pruning(plans: list[dict[str, Any]] | None) -> None:
    """Partitions that are passed are no part of any plan that runs."""
    if plans is None:
        return
    looked_at = {
        node["Relation Name"]
        for plan in plans
        for node in nodes(plan)
        if node.get("Relation Name", "").startswith("event_p") and node.get("Actual Loops", 1)
    }
    today = {f"event_p{_OLD_PARTITIONS + 1 + day}" for day in range(4)}
    assert looked_at <= today, _shown(plans)
    removed = [node["Subplans Removed"] for plan in plans for node in nodes(plan) if "Subplans Removed" in node]
    assert removed, _shown(plans)
    assert max(removed) >= _OLD_PARTITIONS, _shown(plans)


def _shown(plans: list[dict[str, Any]] | None) -> str:
    return "\n\n".join(tree(plan) for plan in plans or ())
