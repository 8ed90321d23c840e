"""Lanes: order for each key and nothing lost, while they are led by several processes that come, die and freeze."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from outbox.model.errors import ExitCode
from tests.kit.lanes import Lanes, lanes_of
from tests.kit.outbox import Outbox
from tests.kit.process import Process
from tests.kit.site import proxied
from tests.kit.waiting import rest, until

KILLED_SECONDS = 3.0
SILENT_SECONDS = 15.0
PROMPT = {"relay": {"lease": "3s", "standby_poll": "200ms"}}


@pytest.fixture
async def lanes(outbox: Outbox) -> AsyncIterator[Lanes]:
    async with lanes_of(outbox.database, outbox.cli, outbox.tap) as ready:
        yield ready


async def wrote(committed: list[int], more: int) -> None:
    """Wait until so many transactions more have committed."""
    enough = committed[0] + more

    async def have() -> bool:
        return committed[0] >= enough

    await until(have, what=f"{more} transactions more are committed")


async def test_two_processes_share_the_lanes_and_one_takes_all_within_three_seconds_when_the_other_is_killed(
    lanes: Lanes,
) -> None:
    await lanes.set(4)
    first = await lanes.relay(4)
    await lanes.led(4)
    second = await lanes.relay(4)
    async with lanes.writers() as committed:
        await lanes.hold(2, 2)
        await lanes.led(4)
        await wrote(committed, 30)
        mark = second.mark()
        began_at = time.monotonic()
        await first.kill()
        await lanes.hold(4)
        await lanes.led(4)
        seconds = time.monotonic() - began_at
        print(f"all lanes are led again after {seconds:.2f} s")  # noqa: T201 - a figure that people ask for
        assert seconds < KILLED_SECONDS
        assert len(second.find("lead taken", since=mark)) == 2
        await wrote(committed, 30)
    await lanes.all_seen()


async def test_lanes_move_to_processes_that_join_in_order_for_each_key_and_without_repeats(lanes: Lanes) -> None:
    lanes.cli.settings(PROMPT)
    await lanes.set(4)
    first = await lanes.relay(4)
    await lanes.led(4)
    async with lanes.writers() as committed:
        await wrote(committed, 20)
        second = await lanes.relay(4)
        await lanes.hold(2, 2)
        for stream in given_up(first):
            await second.logged("lead taken", stream=stream)
        third = await lanes.relay(4)
        await lanes.hold(1, 1, 2)
        await lanes.led(4)
        await wrote(committed, 20)
        # In order too: who leaves gives its lane back, and nobody waits for a lease.
        began_at = time.monotonic()
        third.ask_to_end()
        assert await third.ended() == ExitCode.OK
        await lanes.hold(2, 2)
        await lanes.led(4)
        assert time.monotonic() - began_at < KILLED_SECONDS
        await wrote(committed, 20)
    await lanes.all_seen()
    assert lanes.repeats() == 0


async def test_a_process_frozen_past_its_lease_is_replaced_and_thawed_moves_no_cursor(lanes: Lanes) -> None:
    lanes.cli.settings(PROMPT)
    await lanes.set(4)
    zombie = await lanes.relay(4)
    await lanes.led(4)
    other = await lanes.relay(4)
    await lanes.hold(2, 2)
    async with lanes.writers(2) as committed:
        await lanes.led(4)
        await wrote(committed, 10)
        lost = {line["stream"] for line in zombie.find("lead taken")} - given_up(zombie)
        assert len(lost) == 2
        mark = other.mark()
        began_at = time.monotonic()
        await zombie.freeze()
        for stream in lost:
            await other.logged("lead taken", since=mark, stream=stream)
        assert time.monotonic() - began_at < SILENT_SECONDS
        await wrote(committed, 10)
        mark = zombie.mark()
        zombie.thaw()
        for lane in sorted(lost):
            await zombie.logged("service waiting", since=mark, reason=f"another relay leads {lane}")
        # It joins again, and gets its part back in order.
        await lanes.hold(2, 2)
        await lanes.led(4)
        await wrote(committed, 10)
    await lanes.all_seen()
    for stream in lost:
        lines = [line["event"] for line in zombie.lines[mark:] if line.get("stream") == stream]
        saves = [n for n, event in enumerate(lines) if event == "cursor saved"]
        leads = [n for n, event in enumerate(lines) if event == "lead taken"]
        assert not saves or (leads and leads[0] < saves[0]), "a thawed leader has moved a cursor"


def given_up(process: Process) -> set[str]:
    return {line["stream"] for line in process.find("lead given up")}


async def test_lanes_leave_a_process_that_cannot_reach_the_broker_and_come_back_when_it_can(
    lanes: Lanes, outbox: Outbox
) -> None:
    lanes.cli.settings(PROMPT)
    await lanes.set(4)
    async with proxied(outbox.cli.amqp_url) as (network, amqp_url):
        cut_off = await lanes.relay(4, OUTBOX_AMQP_URL=amqp_url)
        await lanes.led(4)
        other = await lanes.relay(4)
        await lanes.hold(2, 2)
        async with lanes.writers(2) as committed:
            await lanes.led(4)
            await wrote(committed, 10)
            mark, own = other.mark(), other.mark()
            network.refuse()
            network.cut()
            await other.logged("lanes shared", since=mark, held=[0, 1, 2, 3])
            await lanes.led(4)
            mark = other.mark()
            await wrote(committed, 20)
            await cut_off.logged("service waiting", service="lanes")
            assert not other.find("lead given up", since=own), "a lane is given to who cannot publish it"
            await network.accept()
            await lanes.hold(2, 2)
            await lanes.led(4)
            await wrote(committed, 10)
        await lanes.all_seen()


async def test_the_number_of_lanes_is_changed_while_events_are_written_and_relays_run(lanes: Lanes) -> None:
    lanes.cli.settings(PROMPT)
    before = [await lanes.relay(1), await lanes.relay(1)]
    await lanes.led(1)
    async with lanes.writers() as committed:
        for number in (4, 2, 1):
            await wrote(committed, 40)
            await lanes.set(number)
            for process in before:
                assert await process.ended() == ExitCode.MISCONFIGURED
                assert any("relay.lanes" in line for line in process.garbage), "it does not say what to do"
            before = [await lanes.relay(number), await lanes.relay(number)]
            await lanes.led(number)
        await wrote(committed, 40)
    await lanes.all_seen()


async def test_a_change_that_is_killed_at_any_moment_has_happened_as_a_whole_or_not_at_all(lanes: Lanes) -> None:
    async with lanes.writers(2) as committed:
        for turn, wanted in enumerate((3, 2, 5, 1, 4)):
            mark = committed[0]
            async with lanes.database.connection() as blocker:
                transaction = blocker.transaction()
                await transaction.start()
                await blocker.execute("select from outbox.cursor for update")
                change = await lanes.cli.start("lanes", "set", str(wanted), "--yes")

                async def waits_for_the_rows() -> object:
                    return await lanes.database.value("select count(*) from pg_locks where not granted")

                if turn % 2:
                    await until(waits_for_the_rows, what="it is in the middle of the change")
                else:
                    await rest(0.3 * turn)
                await change.kill()
                await transaction.rollback()
            assert committed[0] >= mark, "writers wait for a change"
            rows = await lanes.database.rows("select stream, lane, lanes from outbox.cursor order by lane")
            assert {row["lanes"] for row in rows} == {len(rows)}
            assert [row["lane"] for row in rows] == list(range(len(rows)))
        await lanes.set(4)
        await lanes.relay(4)
        await wrote(committed, 20)
    await lanes.all_seen()
    assert lanes.repeats() == 0


async def test_draining_ends_when_every_lane_is_published(lanes: Lanes) -> None:
    await lanes.set(4)
    async with lanes.writers() as committed:
        await wrote(committed, 30)
    assert (await lanes.cli("relay", "--drain", OUTBOX_RELAY_LANES="4")).code == ExitCode.OK
    await lanes.all_seen()
    assert lanes.repeats() == 0


async def test_a_loss_is_seen_by_the_lane_that_published_it_and_after_a_change_of_their_number(
    lanes: Lanes, outbox: Outbox
) -> None:
    await lanes.set(4)
    relay = await lanes.relay(4)
    await lanes.led(4)
    await outbox.saw(await outbox.emit(12))
    relay.ask_to_end()
    assert await relay.ended() == ExitCode.OK
    # What a failover without the last transactions leaves: this one was published.
    lost = await lanes.database.value(
        "delete from outbox.event where id = (select max(id) from outbox.event"
        " where outbox.lane_of(key, id, 4) > 0) returning id"
    )
    refusal = (await lanes.cli("relay", OUTBOX_RELAY_LANES="4")).refusal(ExitCode.MISCONFIGURED)
    assert f"do not exist here, sequence {lost} to {lost}" in refusal
    await lanes.set(1)
    refusal = (await lanes.cli("relay", OUTBOX_RELAY_LANES="1")).refusal(ExitCode.MISCONFIGURED)
    assert f"do not exist here, sequence {lost} to {lost}" in refusal
    await lanes.set(3)
    assert (await lanes.cli("rebase", "--yes", "--why", "a test")).code == ExitCode.OK
    await lanes.relay(3)
    await lanes.led(3)
    await outbox.saw(await outbox.emit(12))
