"""What clients in other languages put into a queue must not end the connection: the queue would be stuck behind it."""

from __future__ import annotations

import struct

from outbox.inbox.arrival import arrival_of
from outbox.model.envelope import Message
from outbox.rabbitmq.subscription import RabbitConsumer
from outbox.rabbitmq.tolerance import UNDECODABLE
from outbox.rabbitmq.topology import FlowRoute, flow_queue
from tests.kit.broker import Broker
from tests.kit.raw_amqp import number_entry, properties, publish_raw, short, table, text_entry

FLOW = "orders"
NOT_UTF8 = "Müller".encode("latin-1")
PROPER = number_entry(b"sequence", 7) + number_entry(b"version", 1) + text_entry(b"key", b"SO-1")
NANOSECONDS = 1_767_225_600_000_000_000


def nested(levels: int) -> bytes:
    entries = b""
    for _ in range(levels):
        entries = short(b"a") + b"F" + table(entries)
    return entries


async def received(broker: Broker, messages: list[bytes]) -> list[Message]:
    """Publish, and read as many from one subscription."""
    consumer = RabbitConsumer(broker.server, (FlowRoute(FLOW, ("order.#",)),), prefetch=100, name="test")
    taken: list[Message] = []
    async with consumer.subscription(FLOW) as subscription:
        await publish_raw(broker.url, flow_queue(FLOW), messages)
        while len(taken) < len(messages):
            batch = await subscription.batch(100, wait_seconds=10)
            assert batch, taken
            taken += batch
        await subscription.acknowledge_up_to(taken[-1].tag)
    return taken


async def test_a_property_that_cannot_be_decoded_stops_neither_its_message_nor_those_behind_it(broker: Broker) -> None:
    messages = [
        properties(headers=PROPER, message_id=b"first"),
        properties(headers=PROPER, message_id=NOT_UTF8),
        properties(headers=PROPER + number_entry(NOT_UTF8, 1), message_id=b"name of a header"),
        properties(headers=PROPER + text_entry(b"note", NOT_UTF8), message_id=b"value of a header"),
        properties(headers=PROPER, message_id=b"nanoseconds", timestamp=NANOSECONDS),
        properties(
            headers=PROPER + short(b"at") + b"T" + struct.pack(">Q", NANOSECONDS), message_id=b"nanoseconds in a header"
        ),
        properties(headers=PROPER + nested(10_000), message_id=b"deep"),
        properties(headers=PROPER, message_id=b"last"),
    ]

    taken = await received(broker, messages)

    assert [message.message_id for message in taken] == [
        "first",
        "M\\xfcller",
        "name of a header",
        "value of a header",
        "nanoseconds",
        "nanoseconds in a header",
        "deep",
        "last",
    ]
    assert taken[3].headers["note"] == NOT_UTF8
    # What could not be read as a whole is kept for a person, and is no envelope.
    assert [UNDECODABLE in message.headers for message in taken] == [
        False,
        False,
        True,
        False,
        False,
        True,
        True,
        False,
    ]
    assert [arrival_of(message).refusal is None for message in taken] == [
        UNDECODABLE not in message.headers for message in taken
    ]
    assert "M\\xfcller" in str(taken[2].headers[UNDECODABLE])
