"""The topology on a real broker: safe on a fresh one, repeatable, and clear when something else is in its place."""

from __future__ import annotations

import pytest
from aio_pika import ExchangeType

from outbox.model.errors import Misconfigured
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.topology import FlowRoute, declare, queues
from tests.kit.broker import Broker, manage

FLOWS = (FlowRoute("orders", ("order.confirmed", "order.cancelled")), FlowRoute("stock", ("stock.*",)))


async def _declare(broker: Broker) -> None:
    async with connect(broker.server, name="test") as connection:
        await declare(connection, str(broker.server), FLOWS)


async def test_declaring_twice_is_the_same_as_once(broker: Broker) -> None:
    await _declare(broker)
    await _declare(broker)
    for queue in queues(FLOWS):
        assert await broker.depth(queue.name) == 0


async def test_every_queue_is_a_durable_quorum_queue_and_every_consumed_one_has_a_dead_letter_exchange(
    broker: Broker,
) -> None:
    if broker.management_url is None:
        pytest.skip("needs the management plugin")
    await _declare(broker)
    listed = await manage(broker.management_url, "GET", f"/api/queues/{broker.vhost}")
    assert isinstance(listed, list)
    by_name = {queue["name"]: queue for queue in listed}
    assert set(by_name) == {
        "flow.orders", "flow.stock", "dead.orders", "dead.stock", "outbox.unrouted", "outbox.rejected",
        "outbox.witness",
    }  # fmt: skip
    assert {(queue["type"], queue["durable"]) for queue in listed} == {("quorum", True)}
    arguments = by_name["flow.orders"]["arguments"]
    assert arguments["x-dead-letter-exchange"] == "outbox.dead"
    assert arguments["x-dead-letter-routing-key"] == "orders"
    assert arguments["x-single-active-consumer"] is True
    assert all("x-delivery-limit" in queue["arguments"] for queue in listed), "RabbitMQ 4 drops after 20 without one"


async def test_what_a_queue_gives_up_ends_in_the_dead_letter_queue_of_its_flow(broker: Broker) -> None:
    await _declare(broker)
    async with broker.channel(confirms=False) as channel:
        exchange = await channel.get_exchange("outbox.events")
        queue = await channel.get_queue("flow.orders")
        from aio_pika import Message  # noqa: PLC0415 - only here

        await exchange.publish(Message(b"x", delivery_mode=2), "order.confirmed")
        async with queue.iterator() as messages:
            async for message in messages:
                await message.reject(requeue=False)
                break
        dead = await channel.get_queue("dead.orders")
        async with dead.iterator(timeout=20) as letters:
            async for letter in letters:
                await letter.ack()
                assert letter.body == b"x"
                break


async def test_a_queue_that_exists_with_other_settings_is_a_clear_error(broker: Broker) -> None:
    async with broker.channel() as channel:
        await channel.declare_queue("flow.orders", durable=True)
    with pytest.raises(Misconfigured, match=r"flow\.orders") as caught:
        await _declare(broker)
    assert "other settings" in caught.value.next_step


async def test_an_exchange_that_exists_with_another_type_is_a_clear_error(broker: Broker) -> None:
    async with broker.channel() as channel:
        await channel.declare_exchange("outbox.events", ExchangeType.FANOUT, durable=True)
    with pytest.raises(Misconfigured, match=r"outbox\.events"):
        await _declare(broker)
