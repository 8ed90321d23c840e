"""What RabbitMQ and PostgreSQL do differently from version to version, each fact as it was seen on the real server.

Nothing here is ours to change. What we make of it is in ARCHITECTURE.md, "Versions".
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import PublishError

from outbox.model.envelope import Envelope
from outbox.model.errors import Unavailable
from outbox.rabbitmq.publisher import RabbitBroker
from outbox.rabbitmq.topology import FlowRoute, queues
from sandbox.binaries import find_postgres, find_rabbitmq, postgres_major
from sandbox.versions import rabbitmq_version
from tests.kit.broker import Broker, manage
from tests.kit.database import Database
from tests.kit.waiting import until

FLOWS = (FlowRoute("orders", ("order.#",)),)
MIB = 1024 * 1024
DEFAULT_LIMIT_OF_4 = 20


@pytest.fixture
async def topology(broker: Broker) -> AsyncIterator[Broker]:
    async with RabbitBroker(broker.server, FLOWS, source="/erp", name="test", report=lambda _: None).publisher():
        yield broker


@asynccontextmanager
async def consuming(
    broker: Broker, queue: str, *, prefetch: int = 100
) -> AsyncIterator[asyncio.Queue[AbstractIncomingMessage]]:
    """Consume for the length of the block; what is not settled in it goes back when its connection closes."""
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    async with broker.channel(confirms=False) as channel:
        await channel.set_qos(prefetch_count=prefetch)
        await (await channel.get_queue(queue)).consume(arrived.put)
        yield arrived


async def take(arrived: asyncio.Queue[AbstractIncomingMessage], count: int) -> list[AbstractIncomingMessage]:
    async with asyncio.timeout(20):
        return [await arrived.get() for _ in range(count)]


def numbers(messages: list[AbstractIncomingMessage]) -> list[int]:
    return [int(message.body) for message in messages]


async def fill(channel: AbstractChannel, queue: str, count: int) -> None:
    for number in range(1, count + 1):
        await channel.default_exchange.publish(Message(str(number).encode(), delivery_mode=2), queue)


async def quorum_queue(broker: Broker, count: int, arguments: Mapping[str, int | str | bool]) -> str:
    async with broker.channel() as channel:
        await channel.declare_queue("q", durable=True, arguments={"x-queue-type": "quorum", **arguments})
        await fill(channel, "q", count)
    return "q"


async def is_empty(broker: Broker, queue: str) -> bool:
    return await broker.depth(queue) == 0


async def test_the_servers_are_those_that_were_asked_for(database: Database, version: tuple[int, ...]) -> None:
    if os.environ.get("OUTBOX_PG_URL") or os.environ.get("OUTBOX_AMQP_URL"):
        pytest.skip("somebody else's servers")
    postgres, rabbitmq = find_postgres(), find_rabbitmq()
    if postgres is None or rabbitmq is None:
        pytest.skip("servers in containers")
    assert int(await database.value("show server_version_num")) // 10_000 == postgres_major(postgres)
    assert ".".join(map(str, version)) == rabbitmq_version(rabbitmq)


async def test_with_a_delivery_limit_a_requeued_message_comes_again_before_those_that_were_never_delivered(
    broker: Broker,
) -> None:
    queue = await quorum_queue(broker, 4, {"x-delivery-limit": 50})
    async with consuming(broker, queue, prefetch=1) as arrived:
        (first,) = await take(arrived, 1)
        assert "x-delivery-count" not in first.headers or first.headers["x-delivery-count"] == 0
        await first.reject(requeue=True)
        seen = []
        for _ in range(4):
            (message,) = await take(arrived, 1)
            seen.append((int(message.body), message.headers.get("x-delivery-count", 0), message.redelivered))
            await message.ack()
    assert seen == [(1, 1, True), (2, 0, False), (3, 0, False), (4, 0, False)]


async def test_without_a_delivery_limit_3_sends_a_requeued_message_to_the_back_and_4_gives_it_up_after_20(
    broker: Broker, version: tuple[int, ...]
) -> None:
    queue = await quorum_queue(broker, 3, {})
    deliveries = DEFAULT_LIMIT_OF_4 + 3 if version >= (4,) else 2 * DEFAULT_LIMIT_OF_4
    seen = []
    async with consuming(broker, queue, prefetch=1) as arrived:
        while len(seen) < deliveries:
            (message,) = await take(arrived, 1)
            seen.append(int(message.body))
            if seen[-1] == 1:
                await message.reject(requeue=True)
            else:
                await message.ack()
    if version >= (4,):
        assert seen == [1] * (DEFAULT_LIMIT_OF_4 + 1) + [2, 3]
        assert await until(lambda: is_empty(broker, queue), what="the message is dropped, without a trace")
    else:
        assert seen == [1, 2, 3] + [1] * (deliveries - 3)


async def test_a_delivery_limit_of_minus_one_means_none_to_4_and_drops_the_first_requeued_message_on_3(
    broker: Broker, version: tuple[int, ...]
) -> None:
    queue = await quorum_queue(broker, 2, {"x-delivery-limit": -1})
    async with consuming(broker, queue, prefetch=1) as arrived:
        (first,) = await take(arrived, 1)
        await first.reject(requeue=True)
        (second,) = await take(arrived, 1)
        assert int(second.body) == 2, "also where it means none, the message goes to the back"
        await second.ack()
        if version >= (4,):
            (again,) = await take(arrived, 1)
            assert int(again.body) == 1
            await again.ack()
    assert await until(lambda: is_empty(broker, queue), what="nothing is left")
    assert all(spec.settings["delivery-limit"] > 0 for spec in queues(FLOWS)), "so ours is always a number"


async def test_what_was_returned_comes_in_the_order_of_return_so_a_smaller_prefetch_than_before_breaks_the_order(
    broker: Broker,
) -> None:
    queue = await quorum_queue(broker, 8, {"x-delivery-limit": 50, "x-single-active-consumer": True})
    async with consuming(broker, queue, prefetch=8) as arrived:
        assert numbers(await take(arrived, 8)) == [1, 2, 3, 4, 5, 6, 7, 8]
    async with consuming(broker, queue, prefetch=8) as arrived:
        assert numbers(await take(arrived, 8)) == [1, 2, 3, 4, 5, 6, 7, 8]
    async with consuming(broker, queue, prefetch=3) as arrived:
        assert numbers(await take(arrived, 3)) == [1, 2, 3]
    async with consuming(broker, queue, prefetch=8) as arrived:
        assert numbers(await take(arrived, 8)) == [4, 5, 6, 7, 8, 1, 2, 3]


async def test_a_message_over_the_delivery_limit_of_a_flow_goes_to_its_dead_letter_queue_and_is_never_dropped(
    topology: Broker,
) -> None:
    (limit,) = (spec.settings["delivery-limit"] for spec in queues(FLOWS) if spec.name == "flow.orders")
    async with topology.channel() as channel:
        await fill(channel, "flow.orders", 2)
    async with consuming(topology, "flow.orders", prefetch=1) as arrived:
        for _ in range(int(limit) + 1):
            (message,) = await take(arrived, 1)
            assert int(message.body) == 1
            await message.reject(requeue=True)
        (second,) = await take(arrived, 1)
        assert int(second.body) == 2
        await second.ack()
    await until(lambda: topology.depth("dead.orders"), what="the dead letter is there")
    (letter,) = await topology.take("dead.orders")
    assert letter.body == b"1"
    assert letter.headers["x-death"][0]["reason"] == "delivery_limit"  # type: ignore[index]


async def test_a_kept_message_that_people_look_at_more_often_than_20_times_is_kept(topology: Broker) -> None:
    async with topology.channel() as channel:
        await fill(channel, "outbox.unrouted", 2)
        queue = await channel.get_queue("outbox.unrouted")
        for _ in range(2 * DEFAULT_LIMIT_OF_4):
            shown = await queue.get(timeout=20)
            assert shown is not None
            assert shown.body == b"1"
            await shown.reject(requeue=True)
    assert numbers(await topology.take("outbox.unrouted")) == [1, 2]


async def test_a_message_that_no_queue_takes_is_returned_before_it_is_confirmed(topology: Broker) -> None:
    # The confirm of a message that a queue takes comes later; the library must not mistake one for the other.
    async def send(number: int) -> bool:
        queue = "outbox.unrouted" if number % 2 else "nowhere"
        try:
            await channel.default_exchange.publish(Message(str(number).encode(), delivery_mode=2), queue)
        except PublishError:
            return False
        return True

    async with topology.channel() as channel, asyncio.TaskGroup() as group:
        sent = [group.create_task(send(number)) for number in range(100)]
    assert [task.result() for task in sent] == [number % 2 == 1 for number in range(100)]
    assert numbers(await topology.take("outbox.unrouted")) == list(range(1, 100, 2))


def event(size_bytes: int) -> Envelope:
    body = b'"' + b"x" * (size_bytes - 2) + b'"'
    return Envelope("id-1", 1, "order.confirmed", 1, "k", body, 1_700_000_000, {"header": "y" * 30_000})


async def test_4_takes_bodies_of_16_mib_and_3_of_128_whatever_the_headers_and_says_so_when_it_refuses_one(
    broker: Broker, version: tuple[int, ...]
) -> None:
    async with RabbitBroker(broker.server, FLOWS, source="/erp", name="test", report=lambda _: None).publisher() as it:
        await it.publish([event(15 * MIB)])
        await it.publish([event(16 * MIB)])
        if version >= (4,):
            with pytest.raises(Unavailable, match=f"messages of {16 * MIB} bytes at most"):
                await it.publish([event(16 * MIB + 1)])
        else:
            await it.publish([event(16 * MIB + 1)])
            with pytest.raises(Unavailable, match=f"messages of {128 * MIB} bytes at most"):
                await it.publish([event(128 * MIB + 1)])


async def test_the_broker_can_dead_letter_at_least_once(topology: Broker) -> None:
    if topology.management_url is None:
        pytest.skip("needs the management plugin")
    flags = await manage(topology.management_url, "GET", "/api/feature-flags")
    assert isinstance(flags, list)
    (flag,) = (flag for flag in flags if flag["name"] == "stream_queue")
    assert flag["state"] == "enabled", "until 3.11 a cluster that was upgraded may be without it: enable it by hand"


async def test_nothing_that_we_declare_is_deprecated(topology: Broker, version: tuple[int, ...]) -> None:
    if topology.management_url is None or version < (3, 13):
        pytest.skip("needs the management plugin of RabbitMQ 3.13 or later")
    async with consuming(topology, "flow.orders"):
        assert await manage(topology.management_url, "GET", "/api/deprecated-features/used") == []


async def test_the_size_of_a_payload_is_stored_also_where_generated_columns_are_virtual_by_default(
    database: Database,
) -> None:
    generated = await database.value(
        "select attgenerated from pg_attribute where attrelid = 'outbox.event'::regclass and attname = 'payload_bytes'"
    )
    assert generated == b"s"
