"""What comes twice, late or in the wrong order from the wire takes effect once and in order, or is parked."""

from __future__ import annotations

import json

import aio_pika

from sandbox.crm_faults import Fault, Script
from tests.kit.site import FLOW, Site

KEY, NEIGHBOUR = "C-001", "C-002"


async def publish(site: Site, *sequences: int, key: str = KEY) -> None:
    """Send events as the published contract describes them, one after the other."""
    async with site.broker.channel() as channel:
        exchange = await channel.get_exchange("outbox.events")
        for sequence in sequences:
            deal = {"order_ref": order_ref(sequence), "customer": key, "revision": sequence, "amount": "1.00"}
            message = aio_pika.Message(
                json.dumps(deal).encode(),
                message_id=message_id(sequence),
                type="order.confirmed",
                headers={"key": key, "sequence": sequence, "version": 1},
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            )
            await exchange.publish(message, "order.confirmed")


def message_id(sequence: int) -> str:
    return f"m-{sequence}"


def order_ref(sequence: int) -> str:
    return f"SO-{sequence}"


def effects(site: Site) -> list[int]:
    return [line.revision for line in site.crm.ledger.lines]


def hold(site: Site, sequence: int) -> None:
    site.crm.add_script(Script(order_ref=order_ref(sequence), fault=Fault.HOLD_BEFORE_EFFECT, times=1))


async def test_a_message_that_comes_again_has_one_effect(site: Site) -> None:
    await site.start("consume")
    await site.subscribed()
    await publish(site, 10, 10)
    await site.becomes(message_id(10), "applied")
    await publish(site, 10)
    await site.delivered(message_id(10), copies=3)
    await publish(site, 20)
    await site.becomes(message_id(20), "applied")
    assert effects(site) == [10, 20]
    assert await site.met("requests") == 2


async def test_events_that_wait_behind_another_are_applied_in_sequence(site: Site) -> None:
    hold(site, 10)
    await site.start("consume")
    await site.subscribed()
    await publish(site, 10)
    await site.crm.gate.arrived(1)
    await publish(site, 30)
    await site.becomes(message_id(30), "blocked")
    await publish(site, 20)
    await site.becomes(message_id(20), "blocked")
    site.crm.gate.release()
    await site.becomes(message_id(30), "applied")
    assert effects(site) == [10, 20, 30]


async def test_a_late_event_goes_before_one_that_nobody_has_touched(site: Site) -> None:
    hold(site, 10)
    # The neighbour's call takes the only place, so the event after it is ready and waits.
    await site.start("consume", inbox={"concurrency": 1})
    await site.subscribed()
    await publish(site, 10, key=NEIGHBOUR)
    await site.crm.gate.arrived(1)
    await publish(site, 30)
    await site.becomes(message_id(30), "ready")
    await publish(site, 20)
    await site.becomes(message_id(30), "blocked")
    assert await site.state(message_id(20)) == "ready"
    site.crm.gate.release()
    await site.becomes(message_id(30), "applied")
    assert effects(site) == [10, 20, 30]


async def test_an_event_that_comes_after_its_successor_was_applied_is_parked_and_blocks_its_key_only(
    site: Site,
) -> None:
    consumer = await site.start("consume")
    await site.subscribed()
    await publish(site, 20)
    await site.becomes(message_id(20), "applied")
    await publish(site, 10, 30)
    await publish(site, 40, key=NEIGHBOUR)
    await site.becomes(message_id(40), "applied")
    await consumer.logged("dead letter", event_id=message_id(10))
    assert await site.state(message_id(10)) == "dead"
    assert await site.state(message_id(30)) == "blocked"
    assert effects(site) == [20, 40]

    (letter,) = await site.broker.take(f"dead.{FLOW}")
    assert letter.message_id == message_id(10)
    assert letter.headers["x-outbox-reason-class"] == "stale"
    assert letter.headers["x-outbox-flow"] == FLOW
    assert json.loads(letter.body)["order_ref"] == order_ref(10)
