"""The C yardstick sends what the relay sends: else the ratio between the two would mean nothing."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from aio_pika.abc import AbstractIncomingMessage

from bench.yardstick import NotBuiltError, build
from outbox.model.envelope import Envelope
from outbox.rabbitmq.publisher import RabbitBroker
from tests.kit.broker import Broker

EVENTS = 25
PAYLOAD_BYTES = 1024


async def test_the_yardstick_sends_the_relays_message_and_counts_its_confirms(broker: Broker, tmp_path: Path) -> None:
    try:
        limit = await asyncio.to_thread(build, tmp_path)
    except NotBuiltError as reason:
        pytest.skip(str(reason))
    event = Envelope(
        message_id="01890000-0000-4000-8000-000000000001",
        sequence=1,
        type="order.confirmed",
        version=1,
        key="SO-1",
        payload=b"x" * PAYLOAD_BYTES,
        created_at_epoch_seconds=1_700_000_000,
        headers={},
    )
    relay = RabbitBroker(broker.server, (), source="/outbox", name="test", report=lambda _: None)
    async with relay.publisher() as publisher:
        await broker.bind_audit("#")
        await publisher.publish([event])
    process = await asyncio.create_subprocess_exec(
        limit,
        *(str(EVENTS), "7", str(PAYLOAD_BYTES), "outbox.events", "order.confirmed"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "BENCH_AMQP_URL": broker.url},
    )
    output, _ = await process.communicate()

    assert process.returncode == 0
    told = json.loads(output)
    assert (told["confirmed"], told["refused"], told["returned"]) == (EVENTS, 0, 0)
    ours, *theirs = await broker.take("audit")
    assert len({message.message_id for message in theirs}) == EVENTS
    assert shape(theirs[0]) == shape(ours)


async def test_a_yardstick_whose_messages_come_back_does_not_pass(broker: Broker, tmp_path: Path) -> None:
    try:
        limit = await asyncio.to_thread(build, tmp_path)
    except NotBuiltError as reason:
        pytest.skip(str(reason))
    process = await asyncio.create_subprocess_exec(
        # The default exchange has no queue of that name.
        limit,
        *("3", "2", "10", "", "nobody"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "BENCH_AMQP_URL": broker.url},
    )
    output, _ = await process.communicate()
    assert process.returncode == 1
    assert json.loads(output)["returned"] == 3


def shape(message: AbstractIncomingMessage) -> dict[str, object]:
    """Everything of a message but the moment it was made at."""
    return {
        "body": len(message.body),
        "headers": dict(message.headers),
        "message_id": message.message_id,
        "type": message.type,
        "app_id": message.app_id,
        "content_type": message.content_type,
        "delivery_mode": message.delivery_mode,
        "has_timestamp": message.timestamp is not None,
        "routing_key": message.routing_key,
        "exchange": message.exchange,
    }
