"""SIGTERM: what was begun is finished within the grace, and what was not is safe."""

from __future__ import annotations

from sandbox.crm_faults import Fault, Script
from tests.kit.process import Process
from tests.kit.site import FLOW, Site
from tests.kit.tap import Tap

DRAIN_TIMEOUT = 75


async def in_the_middle_of_a_call(site: Site, *, drain: str) -> tuple[Process, str]:
    """Start a consumer whose only call has had its effect and gets no answer."""
    site.crm.add_script(Script(order_ref="SO-00001", fault=Fault.HOLD_AFTER_EFFECT, times=1))
    await site.start("relay")
    consumer = await site.start("consume", drain=drain)
    (event_id,) = await site.confirm_orders()
    await site.crm.gate.arrived(1)
    return consumer, event_id


async def test_a_consumer_that_is_asked_to_end_waits_for_its_call_and_settles_it(site: Site) -> None:
    consumer, event_id = await in_the_middle_of_a_call(site, drain="30s")
    consumer.ask_to_end()
    await consumer.logged("draining")
    assert await site.state(event_id) == "applying"
    site.crm.gate.release()
    assert await consumer.ended() == 0
    assert await site.attempts(event_id) == ["applied"]
    await site.settle()
    # The lanes are free at once: nobody has to wait for a lease.
    assert await site.database.value("select count(*) from inbox.lane where owner is not null") == 0


async def test_a_call_that_outlasts_the_drain_is_named_and_safe(site: Site) -> None:
    consumer, event_id = await in_the_middle_of_a_call(site, drain="1s")
    consumer.ask_to_end()
    assert await consumer.ended() == DRAIN_TIMEOUT
    overrun = await consumer.logged("drain took too long")
    assert f"apply {FLOW}" in overrun["busy"]
    assert await site.state(event_id) == "applying"

    site.crm.gate.release()
    await site.let_leases_expire()
    await site.start("consume")
    await site.settle()
    assert await site.attempts(event_id) == ["unknown", "applied"]


async def test_a_consumer_that_is_asked_twice_ends_at_once(site: Site) -> None:
    consumer, _ = await in_the_middle_of_a_call(site, drain="1h")
    consumer.ask_to_end()
    await consumer.logged("draining")
    consumer.ask_to_end()
    assert await consumer.ended() == DRAIN_TIMEOUT
    site.crm.gate.release()


async def test_a_relay_that_is_asked_to_end_saves_its_cursor(site: Site, tap: Tap) -> None:
    relay = await site.start("relay", relay={"save_every": "60s", "stalled_after": "10m"})
    await relay.logged("caught up")
    (first,) = await site.confirm_orders()
    await relay.logged("page published")
    relay.ask_to_end()
    assert await relay.ended() == 0
    await site.start("relay")
    (second,) = await site.confirm_orders()
    await tap.saw(2)
    assert tap.ids() == [first, second]
