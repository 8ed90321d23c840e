"""The one queue that every contender publishes to: made anew for each measurement, counted from outside."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from outbox.rabbitmq.topology import EVENTS, declare
from sandbox.changes import Changes

NAME = "bench"
ROUTING_KEY = "order.confirmed"

_CONNECT_SECONDS = 10.0
_TAKE_SECONDS = 120.0


class BenchQueue:
    """A quorum queue bound to every event."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel

    async def renew(self) -> None:
        """Replace it by an empty one, so that every contender finds the same log behind it."""
        await self._channel.queue_delete(NAME)
        queue = await self._channel.declare_queue(NAME, durable=True, arguments={"x-queue-type": "quorum"})
        await queue.bind(EVENTS, "#")

    async def count(self) -> int:
        """Count the messages that are ready in it."""
        declared = await self._channel.declare_queue(NAME, passive=True)
        return declared.declaration_result.message_count or 0

    async def count_of(self, name: str) -> int:
        """Count the messages that are ready in another queue."""
        declared = await self._channel.declare_queue(name, passive=True)
        return declared.declaration_result.message_count or 0

    async def remove(self, *names: str) -> None:
        """Delete other queues."""
        for name in names:
            await self._channel.queue_delete(name)

    async def take_ids(self) -> list[str]:
        """Take every message that is in it and return the ids, repeated ones too."""
        expected = await self.count()
        taken: list[str] = []
        changes = Changes()

        async def take(message: AbstractIncomingMessage) -> None:
            taken.append(str(message.message_id))
            changes.notify()

        queue = await self._channel.get_queue(NAME)
        consumer = await queue.consume(take, no_ack=True)
        await changes.until(lambda: len(taken) >= expected, within_seconds=_TAKE_SECONDS)
        await queue.cancel(consumer)
        return taken


@asynccontextmanager
async def open_queue(amqp_url: str) -> AsyncIterator[BenchQueue]:
    """Declare the sidecar's topology and the queue; the queue goes with the block."""
    for library in ("aio_pika", "aiormq"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    connection = await aio_pika.connect(amqp_url, timeout=_CONNECT_SECONDS)
    async with connection:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await declare(connection, "RabbitMQ", ())
            channel = await connection.channel()
        queue = BenchQueue(channel)
        await queue.renew()
        yield queue
        await channel.queue_delete(NAME)
