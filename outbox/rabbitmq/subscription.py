"""Consuming one queue: batches in delivery order, acknowledged together once they are in the inbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import ChannelAccessRefused
from pamqp.commands import Basic

from outbox.model.envelope import Message
from outbox.model.errors import Unavailable
from outbox.model.guard_events import TopologyUnseen
from outbox.model.lifecycle import Report
from outbox.rabbitmq.connection import RabbitServer, connect, open_channel
from outbox.rabbitmq.errors import rabbitmq_errors
from outbox.rabbitmq.topology import FlowRoute, ensure, flow_queue
from outbox.rabbitmq.transport import KeptAliveConnection

# A batch ends at this many bytes of bodies, and with this many that wait for one no more is read: a prefetch counts
# messages, and a smaller one than before would break the order of what comes back.
_BATCH_BYTES = 16 * 1024 * 1024
_HELD_BYTES = 32 * 1024 * 1024


class Subscription:
    """One consumer on one channel. When the channel or the consumer ends, the next call raises `Unavailable`."""

    def __init__(
        self,
        server: RabbitServer,
        connection: KeptAliveConnection,
        channel: AbstractChannel,
        queue: str,
        report: Report,
    ) -> None:
        self._server = server
        self._connection = connection
        self._channel = channel
        self._queue = queue
        self._report = report
        self._may_look = True
        self._arrived: list[DeliveredMessage] = []
        self._held_bytes = 0
        self._wake = asyncio.Event()
        self._ended: str | None = None

    async def batch(self, max_messages: int, *, wait_seconds: float) -> list[Message]:
        """Return what has arrived, in delivery order and up to a number of bytes; empty when nothing came in this time.

        Raises:
            Unavailable: the consumer is gone.
        """
        if not self._arrived and self._ended is None:
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._wake.wait()
        if self._ended is not None:
            # What arrived on a dead channel cannot be acknowledged; the broker delivers it again.
            raise Unavailable(f"{self._server}, queue {self._queue}", self._ended)
        count = size = 0
        for delivered in self._arrived[:max_messages]:
            if count and size + len(delivered.body) > _BATCH_BYTES:
                break
            count += 1
            size += len(delivered.body)
        taken, self._arrived = self._arrived[:count], self._arrived[count:]
        self._held_bytes -= size
        if self._held_bytes < _HELD_BYTES:
            self._connection.may_read.set()
        return [_message(delivered) for delivered in taken]

    async def acknowledge_up_to(self, tag: int) -> None:
        """Acknowledge every message up to this one; all of them must be in the inbox."""
        with rabbitmq_errors(str(self._server)):
            async with asyncio.timeout(self._server.connect_timeout_seconds):
                await self._channel.basic_ack(tag, multiple=True)

    async def ready_messages(self) -> int | None:
        """Ask the broker how many messages wait in the queue; None: this user may not know.

        On a channel of its own, which a refusal would close, and the same connection: no answer means that it is dead.

        Raises:
            Unavailable: the broker does not answer, or the queue is gone.
        """
        if not self._may_look:
            return None
        with rabbitmq_errors(str(self._server)):
            async with asyncio.timeout(self._server.connect_timeout_seconds):
                channel = await open_channel(self._connection, str(self._server), publisher_confirms=False)
                try:
                    queue = await channel.declare_queue(self._queue, passive=True)
                except ChannelAccessRefused:
                    self._may_look = False
                    reason = "the broker refuses a passive declare to this user: a dead consumer is not noticed"
                    self._report(TopologyUnseen(f"queue {self._queue}", reason))
                    return None
                await channel.close()
        return queue.declaration_result.message_count or 0

    async def on_message(self, delivered: DeliveredMessage) -> None:
        """Take a delivery from the library. It starts one task for each, in order; nothing here may await."""
        if self._ended is not None:
            return
        self._arrived.append(delivered)
        self._held_bytes += len(delivered.body)
        if self._held_bytes >= _HELD_BYTES:
            self._connection.may_read.clear()
        self._wake.set()

    def on_end(self, reason: str) -> None:
        """Note that nothing will arrive any more."""
        self._ended = reason
        self._connection.may_read.set()
        self._wake.set()


class RabbitConsumer:
    """Opens subscriptions on connections of their own: a blocked publisher must not stop acks."""

    def __init__(
        self,
        server: RabbitServer,
        flows: Sequence[FlowRoute],
        *,
        prefetch: int,
        name: str,
        report: Report = lambda _event: None,
    ) -> None:
        self._server = server
        self._flows = flows
        self._prefetch = prefetch
        self._name = name
        self._report = report

    @asynccontextmanager
    async def subscription(self, flow: str) -> AsyncIterator[Subscription]:
        """Connect, make sure of the topology, and consume a flow's queue for the length of the block."""
        queue = flow_queue(flow)
        async with connect(self._server, name=f"{self._name} {queue}") as connection:
            await ensure(connection, self._server, self._flows, self._report)
            with rabbitmq_errors(str(self._server)):
                async with asyncio.timeout(self._server.connect_timeout_seconds):
                    channel = await open_channel(connection, str(self._server), publisher_confirms=False)
                    await channel.set_qos(prefetch_count=self._prefetch)
                    underlay = await channel.get_underlay_channel()
                    subscription = Subscription(self._server, connection, underlay, queue, self._report)

                    async def cancelled(_frame: Basic.Cancel | Basic.CancelOk) -> None:
                        subscription.on_end("the broker cancelled the consumer, was the queue deleted?")

                    underlay.on_consumer_cancel_callbacks.add(cancelled)
                    channel.close_callbacks.add(lambda _channel, error: subscription.on_end(_reason(error)))
                    await underlay.basic_consume(queue, subscription.on_message)
            try:
                yield subscription
            finally:
                # The channel is closed with the connection, not by basic.cancel: what is left goes back in order.
                subscription.on_end("the subscription is over")


def _reason(error: BaseException | None) -> str:
    return f"the channel was closed ({str(error) or type(error).__name__})"


def _message(delivered: DeliveredMessage) -> Message:
    properties = delivered.header.properties
    return Message(
        tag=delivered.delivery_tag or 0,
        body=delivered.body,
        routing_key=delivered.routing_key or "",
        message_id=properties.message_id,
        type=properties.message_type,
        headers=properties.headers or {},
    )
