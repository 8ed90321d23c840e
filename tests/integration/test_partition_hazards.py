"""What could lose an event or hold up a writer: locks, kills, old knowledge, broken rules."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from outbox.model.errors import ExitCode, Misconfigured
from outbox.model.partitions import PartitionStep, Retention
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.partitions import (
    AT_ONCE,
    IDS,
    INSERT,
    days_go_by,
    done,
    postponed,
    publish_until_passed,
    reading,
    states,
    upkeep,
)
from tests.kit.waiting import until

_OPEN = "select * from outbox.open_partition('1 day')"
_A_DAY_LATER = "update outbox.partition set opened_at = opened_at - interval '1 day' returning 1"


async def test_whoever_has_drawn_an_id_has_a_smaller_transaction_id_than_the_seal(database: Database) -> None:
    """The transaction id is a default that is evaluated before the id is drawn: it stands before it in the table."""
    plans = [
        "insert into outbox.event (type, payload) values ('t', '{}')",
        "insert into outbox.event (payload, type) values ('{}', 't'), ('{}', 't')",
        "insert into outbox.event (type, payload) select 't', '{}' from generate_series(1, 3) n order by n desc",
    ]
    async with database.connection() as connection:
        for statement in plans:
            rows = await connection.fetch(f"explain (verbose, costs off) {statement}")
            plan = "\n".join(row[0] for row in rows)
            assert 0 < plan.find("pg_current_xact_id()") < plan.find("nextval("), plan
        columns = await connection.fetch(
            "select attname from pg_attribute where attrelid = 'outbox.event'::regclass and attnum > 0 order by attnum"
        )
    names = [row["attname"] for row in columns]
    assert names.index("tx") < names.index("id"), "COPY evaluates defaults in the order of the columns"


async def test_a_seal_is_drawn_after_the_look_at_the_sequence(database: Database) -> None:
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.fetchval("select pg_current_xact_id()")
        with pytest.raises(asyncpg.PostgresError, match="first statement") as refused:
            await connection.fetch("select * from outbox.seal_partitions()")
        assert refused.value.sqlstate == "OB010"
        await transaction.rollback()


async def test_a_writer_that_knew_the_table_before_a_partition_was_there_never_gets_an_id_of_it(
    database: Database,
) -> None:
    async with database.connection() as writer:
        transaction = writer.transaction()
        await transaction.start()
        assert await writer.fetchval(INSERT, "early") == 1
        taken = await days_go_by(database)
        assert await writer.fetchval(INSERT, "early") == 2, "an insert must not fail for want of a partition"
        assert done(taken, PartitionStep.CREATED) == ["event_p1", "event_p2", "event_p3"]
        reason, *_ = postponed(taken, PartitionStep.OPENED)
        assert "still open: process" in reason
        await transaction.commit()
    taken = await upkeep(database)
    assert done(taken, PartitionStep.OPENED) == ["event_p1"]
    assert await database.value(INSERT, "late") == IDS


async def test_dropping_never_makes_an_insert_wait(database: Database) -> None:
    await database.value(INSERT, "k")
    await days_go_by(database)
    await publish_until_passed(database)
    async with database.connection() as writer, database.connection() as other:
        transaction = writer.transaction()
        await transaction.start()
        await writer.fetchval(INSERT, "open")
        await other.execute("set lock_timeout = '50ms'")

        async def write() -> int:
            written = 0
            while not upkeeping.done():
                await other.fetchval(INSERT, "other")
                written += 1
            return written

        async with asyncio.TaskGroup() as group:
            upkeeping = group.create_task(upkeep(database, AT_ONCE))
            writing = group.create_task(write())
        taken = upkeeping.result()
        assert writing.result() > 0
        assert done(taken, PartitionStep.EMPTIED) == ["event_p0"], "the disk is freed all the same"
        (reason,) = postponed(taken, PartitionStep.DROPPED)
        assert reason.startswith("outbox.event is locked by process")
        assert (await states(database))["event_p0"] == "emptied"
        await transaction.commit()
    assert done(await upkeep(database, AT_ONCE), PartitionStep.DROPPED) == ["event_p0"]


async def test_a_reader_of_an_old_partition_postpones_its_end_and_nothing_else(database: Database) -> None:
    """As pg_dump does."""
    await database.value(INSERT, "k")
    await days_go_by(database)
    await publish_until_passed(database)
    async with database.connection() as dump:
        transaction = dump.transaction(readonly=True)
        await transaction.start()
        await dump.fetch("select count(*) from outbox.event")
        taken = await days_go_by(database, 1, Retention(keep_seconds=0.0, ahead=5))
        assert not done(taken, PartitionStep.EMPTIED)
        assert all("locked by process" in reason for reason in postponed(taken, PartitionStep.EMPTIED))
        assert postponed(taken, PartitionStep.CREATED), "attaching looks into the default partition"
        await database.value(INSERT, "k")
        await transaction.rollback()
    taken = await upkeep(database, Retention(keep_seconds=0.0, ahead=5))
    assert done(taken, PartitionStep.EMPTIED) == ["event_p0"], taken
    assert len(done(taken, PartitionStep.CREATED)) == 2


async def test_several_maintainers_at_once_do_everything_once(database: Database) -> None:
    await database.value(INSERT, "k")
    for day in range(3):
        async with asyncio.TaskGroup() as group:
            rounds = [group.create_task(days_go_by(database, 1, AT_ONCE)) for _ in range(4)]
        created = [name for one in rounds for name in done(one.result(), PartitionStep.CREATED)]
        assert len(created) == len(set(created))
        await database.value(INSERT, f"day {day}")
    await publish_until_passed(database)
    async with asyncio.TaskGroup() as group:
        rounds = [group.create_task(upkeep(database, AT_ONCE)) for _ in range(4)]
    dropped = [name for one in rounds for name in done(one.result(), PartitionStep.DROPPED)]
    assert dropped
    assert len(dropped) == len(set(dropped))


async def test_a_maintainer_killed_after_it_moved_the_sequence_leaves_nothing_undone(database: Database) -> None:
    """The sequence has moved, and nothing of what the transaction wrote is there."""
    await database.value(INSERT, "k")
    await upkeep(database)
    await upkeep(database)
    await database.value(_A_DAY_LATER)
    async with database.connection() as maintainer:
        await maintainer.execute("begin")
        assert (await maintainer.fetchrow(_OPEN))["postponed"] is None
        pid = maintainer.get_server_pid()
        await database.value("select pg_terminate_backend($1)", pid)

        async def is_gone() -> bool:
            return not await database.rows("select from pg_stat_activity where pid = $1", pid)

        await until(is_gone, what="the maintainer is gone")
    assert await database.value("select opened_at from outbox.partition where number = 1") is None
    assert await database.value(INSERT, "k") == IDS
    taken = await upkeep(database)
    assert done(taken, PartitionStep.CLOSED) == ["event_p0"]
    assert (await states(database))["event_p1"] == "open"
    async with reading(database) as reader:
        assert await reader.read() == [1, IDS]


@pytest.mark.parametrize("step", ["create_partitions(3)", "empty_partitions('0 s')", "drop_partition()"])
async def test_a_maintainer_killed_in_any_other_step_has_done_nothing(database: Database, step: str) -> None:
    await database.value(INSERT, "k")
    await days_go_by(database)
    await publish_until_passed(database)
    if step.startswith("drop"):
        await database.value("select outbox.empty_partitions('0 s')")
    await database.value("select setval('outbox.event_id_seq', $1, false)", 2 * IDS)
    before = await states(database)
    async with database.connection() as maintainer:
        await maintainer.execute("begin")
        assert await maintainer.fetch(f"select * from outbox.{step}")
        await maintainer.execute("rollback")
    assert await states(database) == before
    await upkeep(database, AT_ONCE)
    assert "event_p0" not in await states(database)


async def test_a_sequence_that_hands_out_ids_in_advance_is_refused(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("alter sequence outbox.event_id_seq cache 20")
    with pytest.raises(Misconfigured, match="caches"):
        await upkeep(database)


async def test_a_sequence_that_was_set_back_is_told(database: Database) -> None:
    """As after a restore of rows without sequences: new events would be below what is passed, where nobody looks."""
    await database.value(INSERT, "k")
    await days_go_by(database)
    await database.value("select setval('outbox.event_id_seq', 7, false)")
    with pytest.raises(Misconfigured, match="every id below 4294967296 has been given out"):
        await upkeep(database)


async def test_an_event_written_against_the_rules_into_a_passed_partition_is_not_dropped(database: Database) -> None:
    await database.value(INSERT, "k")
    await days_go_by(database)
    await publish_until_passed(database)
    await database.value(
        "insert into outbox.event (id, type, payload) overriding system value values (9, 't', '{}') returning 1"
    )
    await publish_until_passed(database)
    taken = await upkeep(database, AT_ONCE)
    assert not done(taken, PartitionStep.EMPTIED)
    assert "against the rules" in postponed(taken, PartitionStep.EMPTIED)[0]
    assert await database.value("select count(*) from outbox.event where id = 9") == 1


async def test_a_partition_that_a_person_has_detached_is_left_alone(database: Database) -> None:
    await database.value(INSERT, "k")
    await days_go_by(database)
    await publish_until_passed(database)
    async with database.connection() as owner:
        await owner.execute("alter table outbox.event detach partition outbox.event_p0")
    assert (await states(database))["event_p0"] == "detached"
    await upkeep(database, AT_ONCE)
    assert "event_p0" not in await states(database)
    assert await database.value("select count(*) from outbox.event_p0") == 1


async def test_a_refused_event_is_explained_also_when_its_partition_is_a_later_one(
    cli: Cli, database: Database
) -> None:
    await database.value(INSERT, "k")
    await days_go_by(database)
    ended = await replace(cli, pg_url=database.url)("emit", "order confirmed", "k", "{}")
    assert "no spaces, control characters" in ended.refusal(ExitCode.MISCONFIGURED)
