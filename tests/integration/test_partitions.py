"""Partitions come and go by what is published, never by age alone; whoever writes does not notice."""

from __future__ import annotations

import asyncio

import asyncpg

from outbox.model.partitions import PartitionStep, Retention
from tests.kit.database import Database, fresh_database
from tests.kit.partitions import (
    AT_ONCE,
    IDS,
    INSERT,
    age,
    days_go_by,
    done,
    postponed,
    publish_until_passed,
    reading,
    states,
    upkeep,
)
from tests.kit.shared_servers import Addresses

_WRITERS = 8
_EVENTS_PER_WRITER = 120


async def test_partitions_are_created_ahead_opened_closed_emptied_and_dropped(database: Database) -> None:
    assert done(await upkeep(database), PartitionStep.CREATED) == ["event_p1", "event_p2", "event_p3"]
    assert await upkeep(database) == [], "nothing is due twice"
    first = await database.value(INSERT, "k")
    await days_go_by(database)
    second = await database.value(INSERT, "k")

    assert (first, second) == (1, IDS), "a new day begins with the next partition's first id"
    assert await states(database) == {
        "event_p0": "closed", "event_p1": "open", "event_p2": "ahead", "event_p3": "ahead", "event_p4": "ahead",
        "event_default": "unused",
    }  # fmt: skip
    assert await publish_until_passed(database) == [1, IDS]
    assert (await states(database))["event_p0"] == "passed"
    taken = await upkeep(database, AT_ONCE)
    assert done(taken, PartitionStep.EMPTIED) == done(taken, PartitionStep.DROPPED) == ["event_p0"]
    assert "event_p0" not in await states(database)
    assert [row["id"] for row in await database.rows("select id from outbox.event")] == [IDS]


async def test_a_run_of_tests_goes_on_after_midnight(servers: Addresses, database: Database) -> None:
    """The template of a long run is yesterday's then."""
    await age(database, 1)
    async with fresh_database(servers.pg_url, template=str(await database.value("select current_database()"))) as clone:
        await clone.value(INSERT, "k")
        assert not done(await upkeep(clone), PartitionStep.OPENED)


async def test_a_partition_is_kept_until_its_retention_is_over(database: Database) -> None:
    await database.value(INSERT, "k")
    await days_go_by(database)
    await publish_until_passed(database)
    await age(database, 29)
    assert not done(await upkeep(database), PartitionStep.EMPTIED)
    assert await database.value("select count(*) from outbox.event") == 1
    assert (await states(database))["event_p0"] == "passed"
    await age(database, 2)
    assert done(await upkeep(database), PartitionStep.DROPPED) == ["event_p0"]


async def test_age_alone_drops_nothing_while_no_relay_has_published_it(database: Database) -> None:
    await database.value(INSERT, "k")
    taken = await days_go_by(database, 3, AT_ONCE)
    assert not done(taken, PartitionStep.EMPTIED)
    assert await publish_until_passed(database) == [1]
    assert done(await upkeep(database, AT_ONCE), PartitionStep.EMPTIED) == ["event_p0"]


async def test_every_cursor_must_have_passed_a_partition(database: Database) -> None:
    await database.value(INSERT, "k")
    await days_go_by(database)
    await database.value("insert into outbox.cursor (stream) values ('a lane that nobody reads yet') returning 1")
    async with reading(database) as reader:
        await reader.read()
    assert not done(await upkeep(database, AT_ONCE), PartitionStep.EMPTIED)


async def test_a_slow_transaction_that_commits_into_an_old_partition_is_never_dropped_unread(
    database: Database,
) -> None:
    async with database.connection() as slow, reading(database) as reader:
        await upkeep(database)
        transaction = slow.transaction()
        await transaction.start()
        assert await slow.fetchval(INSERT, "slow") == 1
        await database.value(INSERT, "quick")
        # It may not know partitions that are created from now on: they are opened when it has ended.
        taken = await days_go_by(database, 3, AT_ONCE)
        assert done(taken, PartitionStep.OPENED) == ["event_p1"], "an empty day needs no partition"
        assert await database.value(INSERT, "next day") == IDS
        assert await reader.read() == [2, IDS]
        assert not done(await upkeep(database, AT_ONCE), PartitionStep.EMPTIED)
        assert (await states(database))["event_p0"] == "closed"

        await transaction.commit()
        assert not done(await upkeep(database, AT_ONCE), PartitionStep.EMPTIED), "committed, and not read yet"
        assert await reader.passes(database, "event_p0") == [1]
    assert done(await upkeep(database, AT_ONCE), PartitionStep.EMPTIED) == ["event_p0"]
    assert await database.value("select count(*) from outbox.event") == 1


async def test_the_sequence_moves_while_others_write_and_every_event_is_read_once(database: Database) -> None:
    async def write(number: int) -> list[int]:
        connection = await asyncpg.connect(database.url)
        committed: list[int] = []
        try:
            for _ in range(_EVENTS_PER_WRITER):
                async with connection.transaction():
                    ids = [await connection.fetchval(INSERT, f"k{number}") for _ in range(2)]
                committed += ids
        finally:
            await connection.close()
        return committed

    async with reading(database, page_events=7) as reader, asyncio.TaskGroup() as group:
        writers = [group.create_task(write(number)) for number in range(_WRITERS)]
        read: list[int] = []
        rounds = 0
        while not all(writer.done() for writer in writers):
            await days_go_by(database)
            rounds += 1
            read += await reader.read()
        read += await reader.read()
    committed = [id_ for writer in writers for id_ in writer.result()]
    assert sorted(read) == sorted(committed)
    assert len({id_ // IDS for id_ in committed}) >= min(rounds, 3), "nothing was written across a border"
    for writer in writers:
        assert writer.result() == sorted(writer.result()), "ids of one writer went backwards"


async def test_reading_goes_from_one_partition_to_the_next_in_order(database: Database) -> None:
    for day in range(3):
        for _ in range(5):
            await database.value(INSERT, f"day {day}")
        await days_go_by(database)
    async with reading(database, page_events=4) as reader:
        ids = await reader.read()
    assert ids == [*range(1, 6), *range(IDS, IDS + 5), *range(2 * IDS, 2 * IDS + 5)]


async def test_a_passed_partition_is_not_looked_at_any_more(database: Database) -> None:
    await database.value(INSERT, "k")
    await days_go_by(database)
    async with reading(database) as reader:
        assert (await reader.session.begin_batch(reader.cursor)).floor == 0
        await reader.passes(database, "event_p0")
        assert (await reader.session.begin_batch(reader.cursor)).floor == IDS
        await database.value(INSERT, "k")
        assert await reader.read() == [IDS]


async def test_while_nobody_keeps_the_partitions_up_events_go_on_where_they_are(database: Database) -> None:
    """As when no relay has run for days."""
    await upkeep(database)
    for expected in range(1, 4):
        await database.value("update outbox.partition set opened_at = opened_at - interval '2 days' returning 1")
        assert await database.value(INSERT, "k") == expected
    await days_go_by(database)
    assert await database.value(INSERT, "k") == IDS


async def test_a_day_without_events_needs_no_partition(database: Database) -> None:
    assert not done(await days_go_by(database, 3), PartitionStep.OPENED)
    assert await database.value(INSERT, "k") == 1


async def test_events_in_the_default_partition_are_published_and_go_like_the_others(database: Database) -> None:
    await database.value("select setval('outbox.event_id_seq', $1, false)", IDS)
    assert await database.value(INSERT, "k") == IDS
    assert (await states(database))["event_default"] == "used"
    taken = await days_go_by(database)
    assert done(taken, PartitionStep.CREATED)[0] == "event_p2", "a partition cannot take over rows of the default one"
    assert done(taken, PartitionStep.OPENED) == ["event_p2"], "ids leave the default partition as soon as they can"
    assert await database.value(INSERT, "k") == 2 * IDS
    assert await publish_until_passed(database) == [IDS, 2 * IDS]
    taken = await days_go_by(database, 1, Retention(keep_seconds=86000.0))
    assert "event_default" not in done(taken, PartitionStep.EMPTIED), "the partition after it is not closed yet"
    await publish_until_passed(database, "event_p2")
    taken = await days_go_by(database, 1, Retention(keep_seconds=86000.0))
    assert set(done(taken, PartitionStep.EMPTIED)) >= {"event_default"}
    assert (await states(database))["event_default"] == "unused"


async def test_a_dry_run_tells_what_is_due_and_changes_nothing(database: Database) -> None:
    await database.value(INSERT, "k")
    await days_go_by(database)
    await publish_until_passed(database)
    before = await database.rows("select * from outbox.partition order by number")
    taken = await upkeep(database, Retention(keep_seconds=0.0, ahead=5), is_dry_run=True)
    assert done(taken, PartitionStep.EMPTIED) == ["event_p0"]
    assert done(taken, PartitionStep.CREATED) == ["event_p5", "event_p6"]
    assert await database.rows("select * from outbox.partition order by number") == before
    assert await database.value("select count(*) from outbox.event") == 1
    assert not postponed(taken, PartitionStep.DROPPED)
