"""Taking copies of resolved dead letters out of their queue. AMQP cannot delete by id: the queue is walked through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiormq.abc import DeliveredMessage

from outbox.model.dead_copies import Copy, Swept, copy_of
from outbox.rabbitmq.connection import RabbitServer, connect, open_channel
from outbox.rabbitmq.errors import rabbitmq_errors
from outbox.rabbitmq.queue_reader import QueueReader
from outbox.rabbitmq.topology import dead_queue

Judge = Callable[[Sequence[Copy]], Awaitable[Sequence[bool]]]

_PAGE = 500
# Bodies are dropped on arrival, so this bounds little memory; a consumer cannot be given more.
_WINDOW = 60_000


class DeadQueue:
    """One flow's dead-letter queue, over a connection that is open for a walk only.

    Not the publisher's: a broker that is out of memory reads nothing from connections that publish, acks included.
    """

    def __init__(self, server: RabbitServer, flow: str) -> None:
        self._server = server
        self._flow = flow

    async def sweep(self, judge: Judge, goes_on: Callable[[], bool]) -> Swept:
        """Walk once through what is there, and take out what is judged to be outdated.

        What stays keeps its place and its order. Cut off anywhere, what was not taken out is back in its place.

        Args:
            judge: says of each copy whether it is outdated. What is no copy of this flow's is never asked about.
            goes_on: asked before each page; False ends the walk.

        Raises:
            AccessRefused: the user may not read the queue.
            Misconfigured: the queue is not there.
            Unavailable: the broker went away.
        """
        name, queue = str(self._server), dead_queue(self._flow)
        async with connect(self._server, name=f"outbox-sweep {self._flow}") as connection:
            with rabbitmq_errors(name):
                async with asyncio.timeout(self._server.connect_timeout_seconds):
                    channel = await open_channel(connection, name, publisher_confirms=False)
                    declared = await channel.declare_queue(queue, passive=True)
                    count = declared.declaration_result.message_count or 0
                    underlay = await channel.get_underlay_channel()
                    reader = QueueReader(name, underlay, queue, window=_WINDOW, keeps_bodies=False)
                    if count:
                        await reader.start()
                walk = _Walk(self._server, self._flow, reader, judge, goes_on)
                await walk.run(count)
                async with asyncio.timeout(self._server.connect_timeout_seconds):
                    left = await reader.give_back()
        return Swept(walk.removed, left, walk.is_complete)


class _Walk:
    """One walk through what was there at its start."""

    def __init__(
        self, server: RabbitServer, flow: str, reader: QueueReader, judge: Judge, goes_on: Callable[[], bool]
    ) -> None:
        self._server = server
        self._flow = flow
        self._reader = reader
        self._judge = judge
        self._goes_on = goes_on
        self.removed = 0
        self.is_complete = True

    async def run(self, count: int) -> None:
        seen = 0
        while seen < count:
            if not self._goes_on():
                self.is_complete = False
                return
            page: list[DeliveredMessage] = []
            while len(page) < min(_PAGE, count - seen):
                delivered = await self._reader.next()
                if delivered is None:
                    # Somebody else holds what is missing; the copies among it are looked for in the next walk.
                    self.is_complete = False
                    break
                page.append(delivered)
            await self._sort(page)
            seen += len(page)
            if not self.is_complete:
                return

    async def _sort(self, page: Sequence[DeliveredMessage]) -> None:
        copies: dict[int, Copy] = {}
        for position, one in enumerate(page):
            properties = one.header.properties
            copy = copy_of(properties.message_id, properties.headers or {}, self._flow)
            if copy is not None:
                copies[position] = copy
        verdicts = await self._judge(list(copies.values())) if copies else []
        outdated = {position for position, is_outdated in zip(copies, verdicts, strict=True) if is_outdated}
        async with asyncio.timeout(self._server.confirm_timeout_seconds):
            for position, delivered in enumerate(page):
                if position in outdated:
                    await self._reader.take(delivered)
                    self.removed += 1
                else:
                    self._reader.keep()
