"""How soon another relay leads when the active one dies, freezes or is cut off; with the default settings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest

from sandbox.tcp_proxy import Direction
from tests.kit.process import Process
from tests.kit.site import Site, proxied
from tests.kit.tap import Tap
from tests.kit.waiting import until

KILLED_SECONDS = 3.0
SILENT_SECONDS = 15.0
ORDERS = 60

_CURSOR = "select epoch, previous::text, current::text, position from outbox.cursor"
_LEASE = "select leased_until from outbox.cursor"


async def leader_and_standby(site: Site, *, pg_url: str | None = None) -> tuple[Process, Process]:
    leader = await site.start("relay", pg_url=pg_url, relay={})
    await leader.logged("caught up")
    standby = await site.start("relay", relay={})
    await standby.logged("standing by, another relay leads")
    return leader, standby


@asynccontextmanager
async def orders_all_the_while(site: Site, tap: Tap) -> AsyncIterator[None]:
    """Commit orders before, during and after what happens in the block, and wait for the last of them."""
    async with asyncio.TaskGroup() as group:
        group.create_task(site.confirm_orders(ORDERS, keys=10, writers=4, rate_per_s=ORDERS / 4))
        await tap.saw(1)
        yield
    await site.settle()
    assert set(tap.ids()) == set(await site.event_ids())
    assert all(sequences == sorted(sequences) for sequences in tap.first_sequences().values())


async def seconds_to_lead(standby: Process, what: str, *, within_seconds: float) -> float:
    began_at = time.monotonic()
    await standby.logged("lead taken", within_seconds=within_seconds)
    seconds = time.monotonic() - began_at
    print(f"takeover after the leader was {what}: {seconds:.2f} s")  # noqa: T201 - a figure that people ask for
    return seconds


async def test_a_killed_leader_is_replaced_in_three_seconds(site: Site, tap: Tap) -> None:
    await site.start("consume")
    leader, standby = await leader_and_standby(site)
    async with orders_all_the_while(site, tap):
        await leader.kill()
        assert await seconds_to_lead(standby, "killed", within_seconds=30) < KILLED_SECONDS


async def test_a_frozen_leader_is_replaced_in_fifteen_seconds_and_thawed_it_stands_by(site: Site, tap: Tap) -> None:
    await site.start("consume")
    zombie, standby = await leader_and_standby(site)
    async with orders_all_the_while(site, tap):
        # Just after a save, so that none is under way: its answer would be heard after the thaw.
        await zombie.logged("cursor saved", since=zombie.mark())
        await zombie.freeze()
        assert await seconds_to_lead(standby, "frozen", within_seconds=60) < SILENT_SECONDS
        await standby.logged("cursor saved")
    await until_saved(site, standby)
    cursor = await site.database.rows(_CURSOR)
    mark = zombie.mark()
    zombie.thaw()
    waiting = await zombie.logged("service waiting", since=mark)
    assert waiting["reason"] == "another relay leads outbox.event"
    await zombie.logged("standing by, another relay leads", since=mark)
    assert not zombie.find("cursor saved", since=mark)
    after = await site.database.rows(_CURSOR)
    assert (after[0]["epoch"], after[0]["previous"]) == (cursor[0]["epoch"], cursor[0]["previous"])
    await site.confirm_orders(5)
    await site.settle()
    assert not standby.find("service waiting")


async def until_saved(site: Site, leader: Process) -> None:
    """Wait until nothing is left to save: an idle leader's cursor rests."""

    async def is_empty() -> bool:
        return await site.database.value("select events from outbox.waiting('outbox.event', 1)") == 0

    await until(is_empty, what=f"{leader.name} has saved all")


async def test_a_leader_cut_off_from_the_database_is_replaced_in_fifteen_seconds(site: Site, tap: Tap) -> None:
    await site.start("consume")
    async with proxied(site.database.url) as (network, pg_url):
        leader, standby = await leader_and_standby(site, pg_url=pg_url)
        async with orders_all_the_while(site, tap):
            network.stall()
            began_at = time.monotonic()
            assert await seconds_to_lead(standby, "cut off", within_seconds=60) < SILENT_SECONDS
            # Its own lease was over before: it gave up without being told.
            waiting = await leader.logged("service waiting")
            assert "no answer in time" in waiting["reason"]
            assert time.monotonic() - began_at < SILENT_SECONDS
        await until_saved(site, standby)
        cursor = await site.database.rows(_CURSOR)
        mark = leader.mark()
        # What it had written before it gave up, a save too, arrives only now.
        network.resume()
        await leader.logged("standing by, another relay leads", since=mark)
    after = await site.database.rows(_CURSOR)
    assert (after[0]["epoch"], after[0]["previous"]) == (cursor[0]["epoch"], cursor[0]["previous"])
    assert not standby.find("service waiting")


async def test_a_leader_that_waits_for_a_slow_broker_keeps_the_lead(site: Site, tap: Tap) -> None:
    async with proxied(site.broker.url) as (broker, amqp_url):
        leader = await site.start("relay", amqp_url=amqp_url, relay={"lease": "4s"})
        await leader.logged("caught up")
        standby = await site.start("relay", relay={"lease": "4s", "standby_poll": "100ms"})
        await standby.logged("standing by, another relay leads")
        broker.stall(Direction.TO_CLIENT)
        (event_id,) = await site.confirm_orders()
        await tap.saw(1)
        began = await site.database.value(_LEASE)
        assert isinstance(began, datetime)

        async def has_outlived_two_leases() -> bool:
            until_when = await site.database.value(_LEASE)
            assert isinstance(until_when, datetime)
            return until_when > began + timedelta(seconds=8)

        await until(has_outlived_two_leases, what="the lead is renewed while a page waits for its confirms")
        assert not leader.find("page published")
        assert not standby.find("lead taken")
        broker.resume()
        await leader.logged("page published")
    assert tap.ids() == [event_id]


@pytest.mark.parametrize("jump", ["1 hour", "-1 hour"])
async def test_a_lease_that_a_jump_of_the_clock_moved_costs_repeats_at_most(site: Site, tap: Tap, jump: str) -> None:
    leader = await site.start("relay", relay={"standby_poll": "100ms"})
    first = await leader.logged("lead taken")
    standby = await site.start("relay", relay={"standby_poll": "100ms"})
    await standby.logged("standing by, another relay leads")
    # What the row looks like when the clock jumps back, or forward.
    async with site.database.connection() as connection:
        await connection.execute("update outbox.cursor set leased_until = leased_until + $1::text::interval", jump)
    if jump.startswith("-"):
        await standby.logged("lead taken", epoch=first["epoch"] + 1)
        await leader.logged("service waiting", reason="another relay leads outbox.event")
    else:

        async def is_renewed() -> object:
            return await site.database.value("select leased_until < now() + interval '1 minute' from outbox.cursor")

        await until(is_renewed, what="the next renewal puts the lease right")
        assert not standby.find("lead taken")
    await site.confirm_orders(3)
    await tap.saw(3)
    assert set(tap.ids()) == set(await site.event_ids())
