"""Relay and consumer killed at random moments of a run, with a CRM that fails: the judge finds nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from sandbox.crm_faults import Fault, Faults
from tests.kit.process import Process
from tests.kit.seeds import repeatable, seeds
from tests.kit.site import Site
from tests.kit.tap import Tap
from tests.kit.waiting import rest

ORDERS = 300
KILLS = 4
SHARES = {
    Fault.DROP_AFTER_EFFECT: 0.03,
    Fault.ERROR_500: 0.02,
    Fault.THROTTLE_429: 0.01,
    Fault.HANG_AFTER_EFFECT: 0.01,
    Fault.DROP_BEFORE_EFFECT: 0.01,
}
# So long after a known step comes a kill: about as long as a batch takes on its whole way.
_MAX_LATE_SECONDS = 0.05


@pytest.mark.parametrize("seed", seeds(1, 2, 3))
async def test_kills_at_random_moments_lose_nothing_and_repeat_nothing(site: Site, tap: Tap, seed: int) -> None:
    dice = random.Random(seed)
    site.crm.set_faults(Faults(shares=SHARES, seed=seed, latency_ms=5, hang_seconds=3.0))

    async def start_relay() -> Process:
        return await site.start("relay", relay={"page_events": 20, "save_every": "200ms"})

    async def start_consumer() -> Process:
        await site.let_leases_expire()
        return await site.start("consume", crm_timeout="1s")

    with repeatable(seed):
        async with asyncio.TaskGroup() as group:
            group.create_task(site.confirm_orders(ORDERS, keys=40, writers=4, seed=seed, rate_per_s=100))
            group.create_task(_kill_again_and_again(dice, start_relay, tap.saw))
            group.create_task(_kill_again_and_again(dice, start_consumer, site.crm.ledger.reached))
        await site.settle(within_seconds=60)
        assert set(tap.ids()) == set(await site.event_ids())


async def _kill_again_and_again(
    dice: random.Random, start: Callable[[], Awaitable[Process]], reached: Callable[[int], Awaitable[None]]
) -> None:
    moments = sorted((dice.randrange(1, ORDERS - 20), dice.uniform(0, _MAX_LATE_SECONDS)) for _ in range(KILLS))
    process = await start()
    for count, late_seconds in moments:
        await reached(count)
        await rest(late_seconds)
        await process.kill()
        process = await start()
