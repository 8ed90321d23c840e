"""Two relays and two consumers: one dies, the other takes over, and the judge finds nothing."""

from __future__ import annotations

import asyncio

from sandbox.crm_faults import Faults
from tests.kit.site import LANES, Site
from tests.kit.tap import Tap

ORDERS = 200


async def test_a_standby_takes_the_lead_when_the_leader_is_killed(site: Site, tap: Tap) -> None:
    await site.start("consume")
    leader = await site.start("relay", relay={"page_events": 10, "standby_poll": "100ms"})
    first = await leader.logged("lead taken")
    standby = await site.start("relay")
    await standby.logged("standing by, another relay leads")

    async with asyncio.TaskGroup() as group:
        group.create_task(site.confirm_orders(ORDERS, keys=20, writers=4, rate_per_s=100))
        await tap.saw(ORDERS // 4)
        assert not standby.find("page published")
        await leader.kill()
        second = await standby.logged("lead taken", within_seconds=10)
    assert second["epoch"] == first["epoch"] + 1
    await site.settle()
    assert set(tap.ids()) == set(await site.event_ids())
    assert all(sequences == sorted(sequences) for sequences in tap.first_sequences().values())


async def test_a_relay_that_comes_back_stands_by(site: Site) -> None:
    leader = await site.start("relay")
    await leader.logged("lead taken")
    standby = await site.start("relay")
    await standby.logged("standing by, another relay leads")
    leader.ask_to_end()
    assert await leader.ended() == 0
    await standby.logged("lead taken", within_seconds=10)
    again = await site.start("relay")
    await again.logged("standing by, another relay leads")
    assert not again.find("lead taken")


async def test_two_consumers_share_the_lanes_and_one_takes_those_of_the_dead(site: Site) -> None:
    site.crm.set_faults(Faults(latency_ms=20))
    await site.start("relay")
    survivor = await site.start("consume")
    await survivor.logged("lanes", held=LANES)
    victim = await site.start("consume")
    await victim.logged("lanes", held=LANES // 2)
    await survivor.logged("lanes", held=LANES // 2)

    async with asyncio.TaskGroup() as group:
        group.create_task(site.confirm_orders(ORDERS, keys=60, writers=4, rate_per_s=100))
        await site.crm.ledger.reached(ORDERS // 4)
        await victim.logged("attempt ended")
        await survivor.logged("attempt ended")
        await victim.kill()
        mark = survivor.mark()
        await survivor.logged("lanes", since=mark, held=LANES)
    await site.settle()
