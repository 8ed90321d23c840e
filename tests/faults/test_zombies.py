"""A process that was frozen past its lease and thawed: others have taken over, and what it still does is void."""

from __future__ import annotations

from sandbox.crm_faults import Fault, Script
from sandbox.tcp_proxy import Direction
from tests.kit.site import Site, proxied
from tests.kit.tap import Tap

FIRST_ORDER = "SO-00001"

_END_OF_THE_LEADER = """
    select count(pg_terminate_backend(pid)) from pg_locks
     where locktype = 'advisory' and granted
       and database = (select oid from pg_database where datname = current_database())
"""
_CURSOR = "select epoch, previous::text, current::text, position from outbox.cursor"


async def test_the_result_of_a_consumer_that_was_frozen_past_its_lease_is_void(site: Site) -> None:
    site.crm.add_script(Script(order_ref=FIRST_ORDER, fault=Fault.HOLD_BEFORE_EFFECT, times=1))
    await site.start("relay")
    zombie = await site.start("consume")
    (event_id,) = await site.confirm_orders()
    await site.crm.gate.arrived(1)
    await zombie.freeze()

    successor = await site.start("consume")
    await successor.logged("lanes", in_doubt=1)
    # Its request waits at the gate under the same key, so the successor is told to come back.
    await successor.logged("attempt ended", event_id=event_id, outcome="retry")
    site.crm.gate.release()
    await successor.logged("attempt ended", event_id=event_id, state="applied")

    zombie.thaw()
    void = await zombie.logged("results void, the lane has a new owner")
    assert void["results"] == 1
    assert not zombie.find("attempt ended")
    await site.confirm_orders(20, keys=10)
    await site.settle()


async def test_a_relay_that_was_frozen_and_replaced_does_not_move_the_cursor(site: Site, tap: Tap) -> None:
    await site.start("consume")
    async with proxied(site.broker.url) as (amqp, amqp_url):
        zombie = await site.start("relay", amqp_url=amqp_url)
        await zombie.logged("caught up")
        successor = await site.start("relay")
        await successor.logged("standing by, another relay leads")
        amqp.stall(Direction.TO_CLIENT)
        (event_id,) = await site.confirm_orders()
        await tap.saw(1)
        await zombie.freeze()
        assert await site.database.value(_END_OF_THE_LEADER) == 1
        lead = await successor.logged("lead taken")
        await successor.logged("cursor saved")
        cursor = await site.database.rows(_CURSOR)

        mark = zombie.mark()
        zombie.thaw()
        amqp.resume()
        await zombie.logged("standing by, another relay leads", since=mark)
    assert await site.database.rows(_CURSOR) == cursor
    assert cursor[0]["epoch"] == lead["epoch"]
    assert not zombie.find("cursor saved")
    assert tap.ids() == [event_id] * 2
    await site.settle()


async def test_a_relay_whose_epoch_has_passed_saves_nothing_and_starts_over(site: Site, tap: Tap) -> None:
    await site.start("consume")
    # The renewal would notice too, and before anything is published.
    relay = await site.start("relay", relay={"standby_poll": "100ms", "lease": "10m"})
    await relay.logged("caught up")
    # Another relay led for a moment, and this one's connection never broke.
    await site.database.value("select epoch from outbox.take_lead('outbox.event')")
    cursor = await site.database.rows(_CURSOR)
    await site.confirm_orders()
    waiting = await relay.logged("service waiting", service="relay")
    assert "another relay leads" in waiting["reason"]
    assert await site.database.rows(_CURSOR) == cursor
    assert not relay.find("cursor saved")
    await relay.logged("lead taken", epoch=cursor[0]["epoch"] + 1)
    await tap.saw(2)
    await site.settle()
