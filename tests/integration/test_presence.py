"""Which processes run, and by which settings, as the database knows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from outbox.postgres.processes import ProcessStatus, ProcessStore, read_processes
from tests.kit.broker import Broker
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.waiting import until


async def only(database: Database) -> ProcessStatus:
    (process,) = await read_processes(database.server)
    return process


async def test_a_process_is_there_from_its_start_to_its_end(database: Database, broker: Broker, tmp_path: Path) -> None:
    cli = Cli(tmp_path, database.url, broker.url)
    async with cli.running("relay") as process:

        async def is_there() -> bool:
            return len(await read_processes(database.server)) == 1

        await until(is_there, what="the process has told that it runs")
        seen = await only(database)
        told = await process.logged("settings in effect")
        assert (seen.program, seen.settings_hash, seen.refusal) == ("outbox-relay", told["settings_hash"], None)
        assert "outbox-relay" in (await cli("status", COLUMNS="200")).out
    assert await read_processes(database.server) == []


@pytest.mark.parametrize("word", ["another", "its own"])
async def test_a_process_that_was_killed_is_gone_when_its_lease_is_over(database: Database, word: str) -> None:
    store = ProcessStore(database.server)
    await store.tell("killed", "outbox", "a1", None, lease_seconds=60)
    await database.value("update outbox.process set seen_until = clock_timestamp() - interval '1 second'")
    assert await read_processes(database.server) == []
    name = "killed" if word == "its own" else "other"
    await store.tell(name, "outbox", "a1", None, lease_seconds=60)
    assert [process.name for process in await read_processes(database.server)] == [name]
    assert await database.value("select count(*) from outbox.process") == 1


async def test_a_refusal_is_as_old_as_it_was_first_told_and_settings_as_they_were_taken_up(database: Database) -> None:
    store = ProcessStore(database.server)
    for settings_hash, refusal in (("a1", None), ("a1", "wrong"), ("a1", "wrong")):
        await store.tell("one", "outbox", settings_hash, refusal, lease_seconds=60)
        await database.value(
            "update outbox.process set settings_since = settings_since - interval '1 hour',"
            " refused_at = refused_at - interval '1 hour'"
        )
    seen = await only(database)
    assert seen.refusal == "wrong"
    assert seen.refused_age_seconds is not None
    assert 7200 <= seen.refused_age_seconds < 7300
    assert 10800 <= seen.settings_age_seconds < 10900

    await store.tell("one", "outbox", "a1", "wrong in another way", lease_seconds=60)
    assert ((await only(database)).refused_age_seconds or 0) < 60
    await store.tell("one", "outbox", "b2", None, lease_seconds=60)
    seen = await only(database)
    assert (seen.refusal, seen.refused_age_seconds) == (None, None)
    assert seen.settings_age_seconds < 60
