"""A consumer that is killed between two of its steps: nothing is lost, and the target sees one effect."""

from __future__ import annotations

import pytest

from sandbox.crm_faults import Fault, Script
from sandbox.tcp_proxy import Direction
from tests.kit.site import FLOW, Site, proxied
from tests.kit.tap import Tap

FIRST_ORDER, SECOND_ORDER = "SO-00001", "SO-00002"


async def test_a_consumer_killed_before_it_has_accepted_gets_the_message_again(site: Site, tap: Tap) -> None:
    await site.start("relay")
    async with proxied(site.database.url) as (postgres, pg_url):
        consumer = await site.start("consume", pg_url=pg_url)
        await site.subscribed()
        postgres.stall(Direction.TO_TARGET)
        (event_id,) = await site.confirm_orders()
        await tap.saw(1)
        await site.taken_from_queue()
        await consumer.kill()
        # What it had asked the database for is gone with the connection.
        postgres.cut()
    assert await site.state(event_id) is None

    await site.let_leases_expire()
    await site.start("consume")
    await site.settle()
    assert await site.copies(event_id) == 1


async def test_a_consumer_killed_between_accept_and_ack_gets_the_message_again(site: Site) -> None:
    await site.start("relay")
    async with proxied(site.broker.url) as (amqp, amqp_url):
        consumer = await site.start("consume", amqp_url=amqp_url)
        await site.subscribed()
        amqp.stall(Direction.TO_TARGET)
        (event_id,) = await site.confirm_orders()
        await site.becomes(event_id, "applied")
        await amqp.holds(Direction.TO_TARGET)
        await consumer.kill()
        # The ack that was under way is gone with the connection.
        amqp.cut()

    await site.let_leases_expire()
    await site.start("consume")
    await site.delivered(event_id, copies=2)
    await site.settle()
    assert await site.met("requests") == 1


async def test_a_consumer_killed_before_its_call_has_left_calls_once(site: Site) -> None:
    await site.start("relay")
    async with proxied(site.crm.url) as (http, crm_url):
        http.stall()
        consumer = await site.start("consume", crm_url=crm_url)
        (event_id,) = await site.confirm_orders()
        await http.holds(Direction.TO_TARGET)
        assert await site.state(event_id) == "applying"
        await consumer.kill()
        # The request that was under way is gone with the connection.
        http.cut()
        assert await site.met("requests") == 0

        await site.let_leases_expire()
        http.resume()
        await site.start("consume", crm_url=crm_url)
        await site.settle()
    assert await site.attempts(event_id) == ["unknown", "applied"]
    assert await site.met("requests") == 1


@pytest.mark.parametrize("where", [Fault.HOLD_BEFORE_EFFECT, Fault.HOLD_AFTER_EFFECT])
async def test_a_consumer_killed_in_the_middle_of_a_call_asks_again_under_the_same_key(
    site: Site, where: Fault
) -> None:
    site.crm.add_script(Script(order_ref=FIRST_ORDER, fault=where, times=1))
    await site.start("relay")
    consumer = await site.start("consume")
    (event_id,) = await site.confirm_orders()
    await site.crm.gate.arrived(1)
    assert await site.state(event_id) == "applying"
    await consumer.kill()

    # The target goes on with a request whose client has gone.
    site.crm.gate.release()
    await site.crm.ledger.reached(1)
    await site.let_leases_expire()
    await site.start("consume")
    await site.settle()
    assert await site.attempts(event_id) == ["unknown", "applied"]
    assert await site.met("replayed") == 1
    assert [line.idempotency_key for line in site.crm.ledger.lines] == [f"{FLOW}-{event_id}"]


async def test_a_consumer_killed_in_the_middle_of_a_call_without_a_key_leaves_it_to_a_person(site: Site) -> None:
    site.crm.add_script(Script(order_ref=FIRST_ORDER, fault=Fault.HOLD_AFTER_EFFECT, times=1))
    await site.start("relay")
    consumer = await site.start("consume", has_keys=False)
    (event_id,) = await site.confirm_orders()
    await site.crm.gate.arrived(1)
    await consumer.kill()
    site.crm.gate.release()

    await site.let_leases_expire()
    successor = await site.start("consume", has_keys=False)
    await successor.logged("parked", event_id=event_id, state="in_doubt")
    (behind,) = await site.confirm_orders()
    await site.becomes(behind, "blocked")
    assert await site.state(event_id) == "in_doubt"
    assert await site.attempts(event_id) == ["unknown"]
    assert await site.met("requests") == 1


async def test_a_consumer_killed_right_after_the_settle_calls_nothing_again(site: Site) -> None:
    await site.start("relay")
    async with proxied(site.database.url) as (postgres, pg_url):
        # With one call at a time the applier's connection is silent while that call runs.
        consumer = await site.start("consume", pg_url=pg_url, inbox={"lease": "3s", "concurrency": 1})
        # The first settle prepares its statement: it asks the server something before it changes anything.
        await site.confirm_orders()
        await consumer.logged("attempt ended")
        site.crm.add_script(Script(order_ref=SECOND_ORDER, fault=Fault.HOLD_AFTER_EFFECT, times=1))
        (event_id,) = await site.confirm_orders()
        await site.crm.gate.arrived(1)
        postgres.stall(Direction.TO_CLIENT)
        site.crm.gate.release()
        await site.becomes(event_id, "applied")
        await consumer.kill()
    assert not consumer.find("attempt ended", event_id=event_id)

    await site.let_leases_expire()
    await site.start("consume")
    await site.confirm_orders()
    await site.settle()
    assert await site.attempts(event_id) == ["applied"]
    assert await site.met("requests") == 3
