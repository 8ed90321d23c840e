"""The subscription on a real broker: in order, acknowledged together, and never silently dead."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from aio_pika import Message as AmqpMessage

from outbox.model.envelope import Message
from outbox.model.errors import Unavailable
from outbox.rabbitmq.subscription import RabbitConsumer, Subscription
from outbox.rabbitmq.topology import FlowRoute
from outbox.rabbitmq.transport import KeptAliveConnection
from tests.kit.broker import Broker, manage
from tests.kit.waiting import until

FLOWS = (FlowRoute("orders", ("order.#",)),)
_LARGE = 3 * 1024 * 1024
_BATCH = 16 * 1024 * 1024
_HELD = 32 * 1024 * 1024


def _consumer(broker: Broker, prefetch: int = 500) -> RabbitConsumer:
    return RabbitConsumer(broker.server, FLOWS, prefetch=prefetch, name="test")


async def _publish(broker: Broker, count: int, start: int = 1) -> None:
    async with broker.channel() as channel:
        exchange = await channel.get_exchange("outbox.events")
        for number in range(start, start + count):
            await exchange.publish(
                AmqpMessage(str(number).encode(), message_id=f"m{number}", headers={"sequence": number}),
                "order.confirmed",
            )


async def _read(subscription: Subscription, count: int) -> list[Message]:
    messages: list[Message] = []
    while len(messages) < count:
        batch = await subscription.batch(100, wait_seconds=10)
        assert batch, f"only {len(messages)} of {count} came"
        messages += batch
    return messages


async def test_messages_come_in_order_and_are_acknowledged_together(broker: Broker) -> None:
    async with _consumer(broker).subscription("orders") as subscription:
        await _publish(broker, 250)
        messages = await _read(subscription, 250)
        assert [message.body for message in messages] == [str(n).encode() for n in range(1, 251)]
        assert messages[0].message_id == "m1"
        assert messages[0].headers == {"sequence": 1}
        await subscription.acknowledge_up_to(messages[-1].tag)
    assert await broker.depth("flow.orders") == 0


async def test_what_was_not_acknowledged_comes_again_in_order(broker: Broker) -> None:
    async with _consumer(broker).subscription("orders") as subscription:
        await _publish(broker, 30)
        messages = await _read(subscription, 30)
        await subscription.acknowledge_up_to(messages[9].tag)
    async with _consumer(broker).subscription("orders") as subscription:
        again = await _read(subscription, 20)
        assert [message.body for message in again] == [str(n).encode() for n in range(11, 31)]


async def test_the_broker_sends_no_more_than_the_prefetch_ahead(broker: Broker) -> None:
    async with _consumer(broker, prefetch=7).subscription("orders") as subscription:
        await _publish(broker, 20)
        assert len(await _read(subscription, 7)) == 7
        assert await subscription.batch(100, wait_seconds=0.2) == []


async def test_large_messages_come_in_order_in_small_batches_and_wait_unread(broker: Broker) -> None:
    bodies = [bytes([number]) * _LARGE for number in range(30)]
    consumer = _consumer(broker)
    async with consumer.subscription("orders") as subscription:
        await _publish_bodies(broker, bodies)
        connection = subscription._connection
        await until(lambda: _is_shut(connection), what="no more is read")
        # It goes on when what waits is taken.
        seen: list[bytes] = []
        while len(seen) < 12:
            assert subscription._held_bytes <= _HELD + 2 * _LARGE
            assert subscription._held_bytes == sum(len(one.body) for one in subscription._arrived)
            batch = await subscription.batch(500, wait_seconds=10)
            assert 0 < sum(len(message.body) for message in batch) <= _BATCH
            seen += [message.body for message in batch]
            await subscription.acknowledge_up_to(batch[-1].tag)
        assert seen == bodies[: len(seen)]
        await until(lambda: _is_shut(connection), what="no more is read again")
        # Also then the connection ends as it should, and gives back in order what it has.
    async with consumer.subscription("orders") as subscription:
        while len(seen) < len(bodies):
            batch = await subscription.batch(500, wait_seconds=10)
            assert batch
            seen += [message.body for message in batch]
        await subscription.acknowledge_up_to(batch[-1].tag)
    assert seen == bodies
    assert await broker.depth("flow.orders") == 0


async def test_a_message_as_large_as_a_batch_comes_alone(broker: Broker) -> None:
    # More than this RabbitMQ 4 does not take, unless told to.
    async with _consumer(broker).subscription("orders") as subscription:
        await _publish_bodies(broker, [b"x", b"y" * _BATCH, b"z"])
        lengths: list[list[int]] = []
        while sum(map(len, lengths)) < 3:
            batch = await subscription.batch(500, wait_seconds=10)
            lengths.append([len(message.body) for message in batch])
        assert [1, _BATCH] not in lengths
        assert [length for batch_lengths in lengths for length in batch_lengths] == [1, _BATCH, 1]


async def _publish_bodies(broker: Broker, bodies: Sequence[bytes]) -> None:
    async with broker.channel() as channel:
        exchange = await channel.get_exchange("outbox.events")
        for body in bodies:
            await exchange.publish(AmqpMessage(body), "order.confirmed")


async def _is_shut(connection: KeptAliveConnection) -> bool:
    return not connection.may_read.is_set()


async def test_an_empty_queue_gives_an_empty_batch_in_time(broker: Broker) -> None:
    async with _consumer(broker).subscription("orders") as subscription:
        assert await subscription.batch(10, wait_seconds=0.05) == []


async def test_a_consumer_that_the_broker_cancels_is_an_error(broker: Broker) -> None:
    async with _consumer(broker).subscription("orders") as subscription:
        async with broker.channel() as channel:
            await channel.queue_delete("flow.orders")
        with pytest.raises(Unavailable, match="cancelled the consumer"):
            await subscription.batch(10, wait_seconds=20)


async def test_a_connection_that_the_broker_closes_is_an_error(broker: Broker) -> None:
    if broker.management_url is None:
        pytest.skip("needs the management plugin")
    async with _consumer(broker).subscription("orders") as subscription:
        await manage(broker.management_url, "DELETE", f"/api/vhosts/{broker.vhost}")
        with pytest.raises(Unavailable):
            await subscription.batch(10, wait_seconds=20)
    # The fixture deletes it again.
    await manage(broker.management_url, "PUT", f"/api/vhosts/{broker.vhost}")


async def test_the_queue_tells_how_many_messages_wait_and_those_that_were_delivered_do_not(broker: Broker) -> None:
    async with _consumer(broker, prefetch=2).subscription("orders") as subscription:
        assert await subscription.ready_messages() == 0
        await _publish(broker, 5)
        await _read(subscription, 2)
        assert await subscription.ready_messages() == 3
        async with broker.channel() as channel:
            await channel.queue_delete("flow.orders")
        with pytest.raises(Unavailable, match=r"no queue 'flow.orders'"):
            await subscription.ready_messages()


async def test_only_one_consumer_at_a_time_gets_messages(broker: Broker) -> None:
    consumer = _consumer(broker)
    async with consumer.subscription("orders") as active, consumer.subscription("orders") as waiting:
        await _publish(broker, 5)
        assert len(await _read(active, 5)) == 5
        assert await waiting.batch(10, wait_seconds=0.2) == []
