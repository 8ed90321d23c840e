"""Reading a queue from its front, where some messages are taken and the others stay in their places."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import replace

from aiormq.abc import AbstractChannel, DeliveredMessage

from outbox.model.errors import Unavailable

# The broker has sent nothing for so long, although messages should be there: somebody else has taken them.
_WAIT_SECONDS = 5.0


class QueueReader:
    """One consumer on a channel of its own. Nobody else may read the queue meanwhile, or its order suffers.

    What is not taken returns to its place when the channel ends, however it ends.

    Args:
        server: how people call the broker.
        channel: for this reader alone.
        queue: what is read.
        window: how many messages the broker may send ahead.
        keeps_bodies: False drops each body when it arrives.
    """

    def __init__(
        self, server: str, channel: AbstractChannel, queue: str, *, window: int, keeps_bodies: bool = True
    ) -> None:
        self._server = server
        self._channel = channel
        self._queue = queue
        self._window = window
        self._keeps_bodies = keeps_bodies
        self._arrived: deque[DeliveredMessage] = deque()
        self._wake = asyncio.Event()
        self._kept = 0
        self._kept_by_this_consumer = 0
        self._consumers = 0
        self._tag = ""

    async def start(self) -> None:
        """Begin to consume."""
        await self._channel.basic_qos(prefetch_count=self._window)
        self._consumers += 1
        # In order of their names: so the broker gives back what several consumers of a dead channel held.
        self._tag = f"outbox-{self._consumers:06}"
        await self._channel.basic_consume(self._queue, self._on_message, consumer_tag=self._tag)

    async def next(self) -> DeliveredMessage | None:
        """Return the next message, or None when no more come."""
        if self._kept_by_this_consumer * 2 >= self._window:
            # What is kept uses up the window. A new consumer has a new one; what the old one holds stays held.
            await self._channel.basic_cancel(self._tag)
            self._kept_by_this_consumer = 0
            await self.start()
        if not self._arrived:
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_WAIT_SECONDS):
                    await self._wake.wait()
        if self._channel.is_closed:
            raise Unavailable(f"{self._server}, queue {self._queue}", "the channel was closed")
        return self._arrived.popleft() if self._arrived else None

    def keep(self) -> None:
        """Leave the message that was read last in the queue."""
        self._kept += 1
        self._kept_by_this_consumer += 1

    async def take(self, delivered: DeliveredMessage) -> None:
        """Take a message out of the queue; it must be safe elsewhere."""
        await self._channel.basic_ack(delivered.delivery_tag or 0, wait=False)

    async def give_back(self) -> int:
        """Let everything that was not taken return to its place; return how many that are.

        By the end of the channel, never by nacks: RabbitMQ orders by place what a dead consumer held, and gives nacked
        messages back in the order in which it comes to them.
        """
        await self._channel.close()
        return self._kept + len(self._arrived)

    async def _on_message(self, delivered: DeliveredMessage) -> None:
        self._arrived.append(delivered if self._keeps_bodies else replace(delivered, body=b""))
        self._wake.set()
