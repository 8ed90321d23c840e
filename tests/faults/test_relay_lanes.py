"""Lanes: order for each key and nothing lost, while they are led by several processes that come, die and freeze."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from tests.kit.lanes import Lanes, lanes_of
from tests.kit.outbox import Outbox
from tests.kit.waiting import until

KILLED_SECONDS = 3.0
SILENT_SECONDS = 15.0


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


async def test_four_lanes_of_one_process_publish_everything_once_and_in_order_for_each_key(lanes: Lanes) -> None:
    await lanes.set(4)
    await lanes.relay(4)
    await lanes.led(4)
    async with lanes.writers() as committed:
        await wrote(committed, 150)
    await lanes.all_seen()
    assert lanes.repeats() == 0


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
