"""Partitions on a restored server: none counts as published by transaction ids of another one."""

from __future__ import annotations

from outbox.model.partitions import PartitionStep
from outbox.model.rebase import Choice, Range
from outbox.model.witness import Published, Witness
from outbox.postgres.outbox_store import OutboxStore
from outbox.postgres.rebase import rebase_session
from tests.integration.test_restore_guard import LIMITS, STREAM
from tests.kit.database import Database
from tests.kit.partitions import AT_ONCE, INSERT, age, days_go_by, done, publish_until_passed, states, upkeep

OF_ANOTHER_CLUSTER = "update outbox.cursor set system_identifier = 42 returning 1"
LOST = "select count(*) from outbox.lost_events($1, $2, $3, $4::text[]::uuid[])"
SEALED = "select count(*) from outbox.partition where sealed_by is not null"


async def _rebase(database: Database, choice: Choice) -> None:
    async with rebase_session(database.server, STREAM) as session:
        await session.rebase(choice, published_up_to=None, reason="a test")


async def _lost(database: Database, published: list[Published]) -> object:
    witness = Witness(tuple(published))
    return await database.value(
        LOST,
        STREAM,
        [one.epoch for one in witness.published],
        [one.sequence for one in witness.published],
        [one.message_id for one in witness.published],
    )


async def _published(database: Database) -> list[Published]:
    rows = await database.rows("select id, event_id::text from outbox.event order by id")
    return [Published(1, row["id"], row["event_id"]) for row in rows]


async def test_the_keeper_seals_and_empties_nothing_before_a_restored_cursor_is_rebased(database: Database) -> None:
    await database.value(INSERT, "k")
    await days_go_by(database)
    await database.value(INSERT, "k")
    # As after a restore from a server that is far ahead: whatever is sealed here would look long passed there.
    await database.value("update outbox.cursor set previous = '4000000000:4000000000:' returning 1")
    await database.value(OF_ANOTHER_CLUSTER)
    await database.value("update outbox.partition set sealed_by = null returning 1")
    await age(database, 100)
    assert not done(await upkeep(database, AT_ONCE), PartitionStep.CLOSED)
    assert await database.value(SEALED) == 0

    await database.value("update outbox.partition set sealed_by = '7' where number = 0 returning 1")
    assert not done(await upkeep(database, AT_ONCE), PartitionStep.EMPTIED)
    assert await database.value("select count(*) from outbox.event") == 2


async def test_a_rebase_has_partitions_sealed_anew_and_they_go_when_the_range_is_published_again(
    database: Database,
) -> None:
    first = await database.value(INSERT, "k")
    await days_go_by(database)
    second = await database.value(INSERT, "k")
    await publish_until_passed(database)
    assert (await states(database))["event_p0"] == "passed"

    await _rebase(database, Choice(Range.ALL))
    assert await database.value(SEALED) == 0
    await age(database, 100)
    assert not done(await upkeep(database, AT_ONCE), PartitionStep.EMPTIED), "its events are to be published again"
    assert await database.value("select count(*) from outbox.event") == 2

    assert (await publish_until_passed(database))[:2] == [first, second]
    assert "event_p0" in done(await upkeep(database, AT_ONCE), PartitionStep.EMPTIED)


async def test_what_the_retention_has_removed_is_not_lost(database: Database) -> None:
    await database.value(INSERT, "k")
    await days_go_by(database)
    removed = await _published(database)
    await publish_until_passed(database)
    unknown = [Published(1, removed[0].sequence, "00000000-0000-4000-8000-000000000000")]
    assert await _lost(database, removed) == 0
    assert await _lost(database, unknown) == 1
    assert "event_p0" in done(await upkeep(database, AT_ONCE), PartitionStep.EMPTIED)
    assert await database.value("select count(*) from outbox.event") == 0
    assert await _lost(database, removed) == 0, "the partition is gone, and no event is left to compare with"


async def test_a_lead_that_a_silent_leader_left_behind_keeps_nobody_from_a_rebase(database: Database) -> None:
    async with OutboxStore(database.server, LIMITS).session() as session:
        assert await session.try_lead() is not None
        assert "connected since" in str(await database.value("select outbox.leader($1)", STREAM))
        await database.value("update outbox.cursor set leased_until = clock_timestamp() returning 1")
        assert await database.value("select outbox.leader($1)", STREAM) is None
        await _rebase(database, Choice())
