"""What `outbox lanes` and `outbox status` say of lanes, and lanes where operations own the topology."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from outbox.model.errors import ExitCode
from tests.kit.broker import Broker
from tests.kit.cli import OUTBOX, Cli
from tests.kit.database import Database
from tests.kit.lanes import Lanes, lanes_of
from tests.kit.tap import tapped
from tests.kit.verbs import Verbs

WIDE = {"COLUMNS": "200"}
LANES = "select count(*) from outbox.cursor"


@pytest.fixture
async def lanes(cli: Cli, database: Database, broker: Broker) -> AsyncIterator[Lanes]:
    ours = Verbs(cli.folder, database.url, broker.url)
    async with tapped(broker) as tap, lanes_of(database, ours, tap) as ready:
        yield ready


async def test_lanes_and_status_show_each_lane_with_its_leader_and_what_waits(lanes: Lanes) -> None:
    await lanes.set(3)
    await lanes.database.value("select outbox.emit('order.changed', 'k', '{}')")
    shown, listed = await lanes.cli("lanes", **WIDE), (await lanes.cli("lanes", "--json")).json()
    status = (await lanes.cli("status", "--json")).json()
    assert "3 lane(s)" in shown.out
    names = [f"outbox.event:{number}/3" for number in range(3)]
    rows = [line for line in shown.out.splitlines() if any(name in line for name in names)]
    assert len(rows) == 3
    assert all("none" in row for row in rows), "nobody leads"
    assert [lane["stream"] for lane in listed["lanes"]] == names
    assert sorted(lane["waiting"] for lane in listed["lanes"]) == [0, 0, 1]
    assert listed["processes"] == []
    assert (status["stream"]["is_led"], status["stream"]["waiting"]) == (False, 1)
    assert [lane["stream"] for lane in status["lanes"]] == names

    await lanes.relay(3)
    await lanes.led(3)
    await lanes.hold(3)
    await lanes.all_seen()
    shown, listed = await lanes.cli("lanes", **WIDE), (await lanes.cli("lanes", "--json")).json()
    status, table = (await lanes.cli("status", "--json")).json(), (await lanes.cli("status", **WIDE)).out
    assert all(lane["is_led"] and lane["leader"] for lane in listed["lanes"])
    (process,) = listed["processes"]
    assert (process["lanes_held"], process["takes_more"]) == (3, True)
    assert f"{process['name']} holds 3 of them" in shown.out
    assert listed["lanes"][0]["leader"] in shown.out
    assert status["stream"]["is_led"]
    assert all(name in table for name in names)


async def test_a_change_is_told_before_it_is_made_and_the_same_number_changes_nothing(lanes: Lanes) -> None:
    dry = await lanes.cli("lanes", "set", "2", "--dry-run")
    assert "would have 2 lane(s) instead of 1" in dry.out
    assert "next step: the same with --yes instead of --dry-run" in dry.out
    planned = (await lanes.cli("lanes", "set", "2", "--dry-run", "--json")).json()
    assert (planned["is_dry_run"], planned["set"], planned["plan"]["lanes_after"]) == (True, None, 2)
    assert await lanes.database.value(LANES) == 1

    done = await lanes.cli("lanes", "set", "2", "--yes")
    assert "relay.lanes: 2" in done.out
    assert "done, epoch" in done.out
    assert await lanes.database.value(LANES) == 2

    again = await lanes.cli("lanes", "set", "2")
    assert (again.code, "nothing would change" in again.out) == (ExitCode.OK, True)


async def test_a_change_is_made_by_a_word_only(lanes: Lanes) -> None:
    asked = await lanes.cli("lanes", "set", "2")
    mute = await lanes.cli("lanes", "set", "2", "--json")
    declined, question = await answered(lanes, "n", "lanes", "set", "2")

    assert "would have 2 lane(s) instead of 1" in asked.out
    assert asked.refusal(ExitCode.USAGE) == "nothing was changed: add --yes"
    assert mute.refusal(ExitCode.USAGE).startswith("--json asks nothing: add --yes")
    assert (declined, "Do it?" in question, "Aborted" in question) == (ExitCode.CHECK_FAILED, True, True)
    assert await lanes.database.value(LANES) == 1

    assert (await answered(lanes, "y", "lanes", "set", "2"))[0] == ExitCode.OK
    assert await lanes.database.value(LANES) == 2


async def answered(lanes: Lanes, answer: str, *arguments: str) -> tuple[int, str]:
    """Call the command on a terminal, where somebody has typed this; return its exit code and what it has said."""
    ours, theirs = os.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        process = await asyncio.create_subprocess_exec(
            OUTBOX,
            *arguments,
            env=lanes.cli.environment(),
            cwd=lanes.cli.folder,
            stdin=theirs,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(30):
            out, _ = await process.communicate()
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_lanes_where_others_own_the_topology_need_a_queue_each_and_say_which_is_missing(
    cli: Cli, database: Database, broker: Broker
) -> None:
    ours = replace(cli, pg_url=database.url, amqp_url=broker.url)
    ours.settings({"relay": {"lanes": 1}})
    assert (await ours("topology", "apply")).code == ExitCode.OK
    ours.settings({"rabbitmq": {"topology": "passive"}, "relay": {"lanes": 2}})
    await database.rows("select outbox.emit('order.changed', 'k' || n, '{}') from generate_series(1, 20) n")
    assert (await ours("lanes", "set", "2", "--yes")).code == ExitCode.OK
    unguarded = await ours("relay", "--drain")
    assert unguarded.code == ExitCode.OK, unguarded
    assert "outbox.witness.1" in unguarded.err + unguarded.out

    await made_for(ours, lanes=2)
    await database.rows("select outbox.emit('order.changed', 'k' || n, '{}') from generate_series(1, 20) n")
    guarded = await ours("relay", "--drain")
    assert guarded.code == ExitCode.OK, guarded
    assert "outbox.witness.1" not in guarded.err + guarded.out
    assert await broker.depth("outbox.unrouted") == 40
    assert [await broker.depth(queue) for queue in ("outbox.witness", "outbox.witness.1")] == [1, 1]


async def made_for(cli: Cli, *, lanes: int) -> None:
    """Make what operations make for so many lanes, and give the settings back."""
    cli.settings({"relay": {"lanes": lanes}})
    assert (await cli("topology", "apply")).code == ExitCode.OK
    cli.settings({"rabbitmq": {"topology": "passive"}, "relay": {"lanes": lanes}})
