"""What an independent downstream service sees: a queue of its own that gets a copy of every event.

Its messages are consumed at the end only: a message that was taken but not acknowledged when the broker was killed
would come again, and be mistaken for one that was published twice.
"""

import asyncio
import logging
import secrets
from contextlib import suppress
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelNotFoundEntity

from sandbox.changes import Changes
from sandbox.errors import SandboxError

# The sidecar's published contract: where downstream services bind their queues.
EVENTS_EXCHANGE = "outbox.events"
_EXCHANGES = (EVENTS_EXCHANGE, "outbox.unrouted", "outbox.dead")
_SIDECAR_QUEUES = ("outbox.unrouted", "outbox.rejected", "flow.orders-to-crm", "dead.orders-to-crm")

_CONNECT_SECONDS = 5.0
_LOOK_SECONDS = 2.0
_DRAIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Published:
    """What the broker took: all messages, and how many different message ids they have."""

    messages: int
    distinct: int


class Audit:
    """The audit queue. It must never use the sidecar's code."""

    def __init__(self, amqp_url: str) -> None:
        self._amqp_url = amqp_url
        self._queue = f"demo.audit.{secrets.token_hex(4)}"
        # They log every connection that fails; that the broker is away is on the screen already.
        for library in ("aio_pika", "aiormq"):
            logging.getLogger(library).setLevel(logging.CRITICAL)
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    async def require_unused_broker(self) -> None:
        """Refuse a virtual host where a sidecar works already: its consumers would get the demo's orders."""
        try:
            channel = await self._connected()
            await channel.get_exchange(EVENTS_EXCHANGE, ensure=True)
        except ChannelNotFoundEntity:
            await self.close()
            return
        except CONNECTION_EXCEPTIONS as error:
            raise SandboxError(f"RabbitMQ cannot be reached: {error}", next_step="check OUTBOX_AMQP_URL") from error
        raise SandboxError(
            f"the virtual host of OUTBOX_AMQP_URL already has an exchange {EVENTS_EXCHANGE}",
            next_step="name a virtual host in OUTBOX_AMQP_URL that no sidecar uses, or unset it",
        )

    async def bind(self) -> None:
        """Declare the queue and bind it to every event."""
        channel = await self._connected()
        queue = await channel.declare_queue(self._queue, durable=True, arguments={"x-queue-type": "quorum"})
        await queue.bind(EVENTS_EXCHANGE, "#")

    async def depth(self) -> int | None:
        """Count the messages in the queue; None while the broker is away."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                channel = await self._connected()
                declared = await channel.declare_queue(self._queue, passive=True)
                return declared.declaration_result.message_count
        except CONNECTION_EXCEPTIONS:  # TimeoutError is one
            await self.close()
            return None

    async def drain(self) -> Published:
        """Consume everything; to be called when nobody publishes any more."""
        channel = await self._connected()
        queue = await channel.declare_queue(self._queue, passive=True)
        expected = queue.declaration_result.message_count or 0
        message_ids: list[str | None] = []
        changes = Changes()

        async def take(message: AbstractIncomingMessage) -> None:
            message_ids.append(message.message_id)
            changes.notify()

        consumer = await queue.consume(take, no_ack=True)
        await changes.until(lambda: len(message_ids) >= expected, within_seconds=_DRAIN_SECONDS)
        await queue.cancel(consumer)
        return Published(messages=len(message_ids), distinct=len(set(message_ids)))

    async def remove_topology(self) -> None:
        """Delete what the demo made on a broker that is not its own."""
        channel = await self._connected()
        for queue in (self._queue, *_SIDECAR_QUEUES):
            await channel.queue_delete(queue)
        for exchange in _EXCHANGES:
            await channel.exchange_delete(exchange)

    async def close(self) -> None:
        """Close the connection; the next call opens another."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with suppress(*CONNECTION_EXCEPTIONS):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await connection.close()

    async def _connected(self) -> AbstractChannel:
        if self._channel is None or self._channel.is_closed:
            await self.close()
            self._connection = await aio_pika.connect(self._amqp_url, timeout=_CONNECT_SECONDS)
            self._channel = await self._connection.channel()
        return self._channel
