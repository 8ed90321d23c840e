"""A page spread over several channels of one connection: order is the key's, and answers find their message."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from outbox.model.envelope import Envelope
from outbox.model.errors import PublishNotConfirmed
from outbox.model.lifecycle import Lifecycle, Unrouted
from outbox.rabbitmq.publisher import RabbitBroker, Sending
from tests.kit.broker import Broker

CHANNELS = 4
KEYS = ("", "SO-1", "SO-2", "SO-3", "SO-4", "SO-5", "SO-6", "SO-7", None)


def event(sequence: int, *, event_type: str = "order.confirmed", size: int = 10) -> Envelope:
    payload = b'"' + b"x" * size + b'"'
    return Envelope(f"id-{sequence}", sequence, event_type, 1, KEYS[sequence % len(KEYS)], payload, 0, {})


def over_channels(broker: Broker, happened: list[Lifecycle]) -> RabbitBroker:
    return RabbitBroker(
        broker.server, (), source="/erp", name="test", report=happened.append, sending=Sending(channels=CHANNELS)
    )


async def test_pages_under_way_together_keep_the_order_of_each_key(broker: Broker) -> None:
    async with over_channels(broker, []).publisher() as publisher:
        await broker.bind_audit("order.#")
        async with asyncio.TaskGroup() as group:
            for first in range(1, 1001, 200):
                # Large ones here and there: whatever takes its channel longer must not be overtaken on it.
                page = [event(n, size=200_000 if n % 97 == 0 else 10) for n in range(first, first + 200)]
                group.create_task(publisher.publish(page))
    by_key: dict[object, list[object]] = defaultdict(list)
    for message in await broker.take("audit"):
        by_key[message.headers.get("key")].append(message.headers["sequence"])
    assert {key: len(sequences) for key, sequences in by_key.items()} == {
        key: len([n for n in range(1, 1001) if KEYS[n % len(KEYS)] == key]) for key in KEYS
    }
    for key in KEYS:
        if key is not None:
            assert by_key[key] == sorted(by_key[key]), key


async def test_what_came_back_on_any_channel_is_parked_and_told_in_the_order_of_the_page(broker: Broker) -> None:
    happened: list[Lifecycle] = []
    async with over_channels(broker, happened).publisher() as publisher:
        await broker.bind_audit("order.#")
        async with broker.channel() as channel:
            await (await channel.get_queue("outbox.unrouted")).unbind("outbox.unrouted", "")
        page = [event(n, event_type="stock.moved" if n % 3 else "order.confirmed") for n in range(1, 101)]
        await publisher.publish(page)
    parked = [one for one in page if one.type == "stock.moved"]
    assert happened == [Unrouted(one.message_id, one.type) for one in parked]
    assert [message.message_id for message in await broker.take("outbox.unrouted")] == [
        one.message_id for one in parked
    ]
    assert len(await broker.take("audit")) == len(page) - len(parked)


async def test_a_refusal_on_one_channel_fails_the_page(broker: Broker) -> None:
    async with over_channels(broker, []).publisher() as publisher:
        await broker.bind_audit("order.#")
        async with broker.channel() as channel:
            full = await channel.declare_queue(
                "full", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
            )
            await full.bind("outbox.events", "stock.moved")
        await publisher.publish([event(1, event_type="stock.moved")])
        # The one that is refused goes alone over its key's channel.
        with pytest.raises(PublishNotConfirmed, match="refused a message"):
            await publisher.publish(
                [event(n) for n in range(10, 60) if n % len(KEYS) != 1]
                + [event(n, event_type="stock.moved") for n in range(100, 130) if n % len(KEYS) == 1]
            )
