"""The request to stop, and the pauses that it ends."""

from __future__ import annotations

import asyncio
import time

import pytest

from outbox.supervisor import Stop


async def test_a_pause_is_over_by_itself() -> None:
    before = time.monotonic()
    await Stop().pause(0.01)
    assert time.monotonic() - before >= 0.009


async def test_everybody_who_pauses_goes_on_when_stopping_is_asked_for() -> None:
    stop = Stop()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(stop.pause(3600))
        group.create_task(stop.wait())
        group.create_task(stop.pause(3600, wake=(woken := asyncio.Event())))
        for go_on in (stop.set, woken.set):
            asyncio.get_running_loop().call_later(0.01, go_on)
    await stop.pause(3600)


async def test_a_pause_that_is_given_up_is_not_resumed_later() -> None:
    stop = Stop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await stop.pause(3600)
    stop.set()
    await stop.wait()
