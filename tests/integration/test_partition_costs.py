"""What partitions cost: figures are printed (pytest -s), counts are checked."""

from __future__ import annotations

import asyncio
import time

from outbox.model.partitions import PartitionStep
from sandbox.binaries import find_postgres
from tests.kit.database import EMPTY, Database, fresh_database
from tests.kit.partitions import (
    AT_ONCE,
    IDS,
    INSERT,
    days_go_by,
    done,
    publish_until_passed,
    reading,
    states,
    upkeep,
)
from tests.kit.shared_servers import Addresses
from tests.kit.waiting import until

_LOOKS = 200
_BEGIN_BATCH = "select * from outbox.begin_batch($1::text::pg_snapshot)"
_INSERTED = "select sum(n_tup_ins) from pg_stat_user_tables where relname like 'event_p%'"
_FORTY_DAYS = f"""
select outbox.create_partitions(40);
insert into outbox.event (id, type, payload) overriding system value
    select n * {IDS} + 1, 't', '{{}}' from generate_series(0, 36) n;
select setval('outbox.event_id_seq', 37 * {IDS}, false);
"""


async def _idle_look(database: Database) -> tuple[float, int]:
    """Return the milliseconds of an idle look at the outbox, and how many locks it takes."""
    async with reading(database) as reader:
        cursor = reader.cursor
        for _ in range(10):
            cursor = cursor.begun((await reader.session.begin_batch(cursor)).current).finished()
        started_at = time.perf_counter()
        for _ in range(_LOOKS):
            await reader.session.begin_batch(cursor)
        milliseconds = (time.perf_counter() - started_at) / _LOOKS * 1000
    async with database.connection() as connection:
        # Planning locks every index once in a session's life.
        await connection.fetch(_BEGIN_BATCH, cursor.previous)
        transaction = connection.transaction()
        await transaction.start()
        await connection.fetch(_BEGIN_BATCH, cursor.previous)
        locks = await connection.fetchval("select count(*) from pg_locks where pid = pg_backend_pid()")
        await transaction.rollback()
    return milliseconds, locks


def _show(figures: str) -> None:
    print(figures)  # noqa: T201 - figures are for whoever asks for them with -s


async def test_an_idle_look_at_forty_partitions_takes_a_bounded_number_of_locks(database: Database) -> None:
    few = await _idle_look(database)
    async with database.connection() as connection:
        await connection.execute(_FORTY_DAYS)
    await upkeep(database)
    await publish_until_passed(database, "event_p36")
    many = await _idle_look(database)
    _show(f"idle look: 2 partitions {few[0]:.3f} ms, {few[1]} locks; 42 partitions {many[0]:.3f} ms, {many[1]} locks")
    # Every partition once, and the index of each that is looked into: today's, those ahead, the default one.
    assert many[1] <= few[1] + 40 + 3


async def test_publishing_and_dropping_leave_no_dead_rows_in_the_outbox(database: Database) -> None:
    for _ in range(20):
        await database.value(INSERT, "yesterday")
    await days_go_by(database)
    for _ in range(20):
        await database.value(INSERT, "today")
    await publish_until_passed(database)
    await upkeep(database, AT_ONCE)

    async def inserted() -> bool:
        # Sessions hand their counters in when they end, or a moment later.
        return (
            await database.value("select sum(n_tup_ins) from pg_stat_user_tables where relname like 'event_p%'") == 20
        )

    await until(inserted, what="the counters of today's partition are there")
    dead = "select sum(n_dead_tup + n_tup_upd + n_tup_del) from pg_stat_user_tables where relname like 'event%'"
    assert await database.value(dead) == 0


async def test_a_writer_waits_for_a_drop_no_longer_than_its_one_commit(database: Database) -> None:
    for _ in range(4):
        await database.value(INSERT, "k")
        await days_go_by(database)
    await publish_until_passed(database, "event_p3")
    waits: list[float] = []

    async def write() -> None:
        async with database.connection() as connection:
            # Far above what a drop takes, far below what a queue behind a long transaction would.
            await connection.execute("set lock_timeout = '2s'")
            while not upkeeping.done():
                started_at = time.perf_counter()
                await connection.fetchval(INSERT, "k")
                waits.append((time.perf_counter() - started_at) * 1000)

    async with asyncio.TaskGroup() as group:
        upkeeping = group.create_task(upkeep(database, AT_ONCE))
        group.create_task(write())
    dropped = done(upkeeping.result(), PartitionStep.DROPPED)
    waits.sort()
    median, longest = waits[len(waits) // 2], waits[-1]
    _show(f"{len(dropped)} dropped beside {len(waits)} inserts: median {median:.1f} ms, longest {longest:.1f} ms")
    assert "event_p3" in [*dropped, *await states(database)]


async def test_partitions_survive_dump_and_restore(database: Database, servers: Addresses) -> None:
    programs = find_postgres()
    assert programs is not None
    await database.value(INSERT, "yesterday")
    await days_go_by(database)
    await database.value(INSERT, "today")
    async with fresh_database(servers.pg_url, template=EMPTY) as copy:
        dump = await asyncio.create_subprocess_exec(
            programs / "pg_dump", "--schema=outbox", database.url, stdout=asyncio.subprocess.PIPE
        )
        text, _ = await dump.communicate()
        assert dump.returncode == 0
        restore = await asyncio.create_subprocess_exec(
            programs / "psql", "--quiet", "--set=ON_ERROR_STOP=1", copy.url,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await restore.communicate(text)
        assert restore.returncode == 0
        assert await states(copy) == await states(database)
        assert await copy.value(INSERT, "after") == IDS + 1
        rows = await copy.rows("select tableoid::regclass::text as name, key from outbox.event order by id")
        assert [(row["name"], row["key"]) for row in rows] == [
            ("outbox.event_p0", "yesterday"), ("outbox.event_p1", "today"), ("outbox.event_p1", "after"),
        ]  # fmt: skip
        assert done(await days_go_by(copy), PartitionStep.OPENED) == ["event_p2"]
