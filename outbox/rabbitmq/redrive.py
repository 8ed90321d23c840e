"""Bringing parked events from outbox.unrouted back to outbox.events, unchanged and in order.

An event leaves the queue only when another queue has it. A pass ends with what was there when it began. Killed
anywhere, it loses nothing: what was sent and not yet acknowledged is sent again, under the same message id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from aio_pika.abc import AbstractConnection
from aiormq.abc import DeliveredMessage

from outbox.model.envelope import KEY, SEQUENCE, HeaderValue
from outbox.model.unrouted import ParkedType, Redriven, Survey, matches
from outbox.rabbitmq.alternate import AlternateWitness
from outbox.rabbitmq.batched import BatchedSender, own_channel
from outbox.rabbitmq.connection import RabbitServer, connect, open_channel
from outbox.rabbitmq.errors import rabbitmq_errors
from outbox.rabbitmq.queue_reader import QueueReader
from outbox.rabbitmq.topology import EVENTS, UNROUTED
from outbox.rabbitmq.wire import Outgoing
from outbox.supervisor import Stop

_PAGE_EVENTS = 100
_PAGE_BYTES = 4 * 1024 * 1024
_WINDOW = 1000
_GIVEN_BACK_SECONDS = 5.0
_LOOK_SECONDS = 0.02
# Bodies are dropped on arrival, so this bounds little memory; a consumer cannot be given more.
_SURVEY_WINDOW = 60_000
# What the broker itself adds to a message that it gives back.
_BROKER_HEADERS = ("x-delivery-count", "x-acquired-count")
# An event has these properties and no others.
_FOREIGN_PROPERTIES = (
    "content_encoding", "priority", "correlation_id", "reply_to", "expiration", "user_id", "cluster_id"
)  # fmt: skip


class Unrouted:
    """The queue outbox.unrouted, over one connection."""

    def __init__(self, server: RabbitServer, connection: AbstractConnection, witness: AlternateWitness) -> None:
        self._server = server
        self._connection = connection
        self._witness = witness

    async def waiting(self) -> int:
        """Return how many messages are in the queue."""
        channel = await open_channel(self._connection, str(self._server))
        queue = await channel.declare_queue(UNROUTED, passive=True)
        await channel.close()
        return queue.declaration_result.message_count or 0

    async def survey(self, most: int, pattern: str | None = None) -> Survey:
        """Look at the first messages, or until so many match, and leave every one in its place."""
        with rabbitmq_errors(str(self._server)):
            survey = Survey(waiting=await self.waiting())
            reader = await self._reader(_SURVEY_WINDOW, keeps_bodies=False)
            counted = 0
            while counted < most and survey.seen < survey.waiting and (delivered := await reader.next()) is not None:
                reader.keep()
                survey.seen += 1
                event = event_of(delivered)
                counted += pattern is None or (event is not None and matches(pattern, event.routing_key))
                if event is None:
                    survey.foreign += 1
                    continue
                committed_at = delivered.header.properties.timestamp
                survey.types.setdefault(event.routing_key, ParkedType()).add(
                    committed_at if isinstance(committed_at, datetime) else None, event.headers.get(KEY)
                )
            await self._wait_for(await reader.give_back())
            return survey

    async def redrive(self, pattern: str, rate_per_s: float | None, *, most: int | None = None) -> Redriven:
        """Send what is there now and matches, oldest first; what no queue is bound for stays where it is.

        Args:
            pattern: of the types that are sent.
            rate_per_s: how fast.
            most: how many are sent; those that are still unbound do not count, or the first of them would be all that
                is ever tried.

        Raises:
            Unavailable, PublishNotConfirmed: the broker went away or refused; what was not moved is still there.
        """
        with rabbitmq_errors(str(self._server)):
            count = await self.waiting()
            channel = await own_channel(self._connection, str(self._server))
            await self._witness.watch()
            reader = await self._reader(_WINDOW)
            sender = BatchedSender(str(self._server), [channel])
            moving = _Pass(self._server, reader, sender, self._witness, pattern, rate_per_s, most)
            await moving.run(count)
            moving.done.waiting = await self._wait_for(await reader.give_back())
            return moving.done

    async def _wait_for(self, given_back: int) -> int:
        """Return how many messages there are, once these are visible again: a moment after their channel ended."""
        deadline = time.monotonic() + _GIVEN_BACK_SECONDS
        while (waiting := await self.waiting()) < given_back and time.monotonic() < deadline:
            await Stop().pause(_LOOK_SECONDS)
        return waiting

    async def _reader(self, window: int, *, keeps_bodies: bool = True) -> QueueReader:
        channel = await open_channel(self._connection, str(self._server), publisher_confirms=False)
        underlay = await channel.get_underlay_channel()
        reader = QueueReader(str(self._server), underlay, UNROUTED, window=window, keeps_bodies=keeps_bodies)
        await reader.start()
        return reader


@asynccontextmanager
async def unrouted(server: RabbitServer, *, name: str) -> AsyncIterator[Unrouted]:
    """Connect for the length of the block."""
    async with connect(server, name=name) as connection:
        with rabbitmq_errors(str(server)):
            witness = await AlternateWitness.open(connection, server)
        yield Unrouted(server, connection, witness)


class _Pass:
    """One pass over what was there at its start."""

    def __init__(
        self,
        server: RabbitServer,
        reader: QueueReader,
        sender: BatchedSender,
        witness: AlternateWitness,
        pattern: str,
        rate_per_s: float | None,
        most: int | None,
    ) -> None:
        self._server = server
        self._reader = reader
        self._sender = sender
        self._witness = witness
        self._pattern = pattern
        self._rate_per_s = rate_per_s
        self._most = most
        self._page: list[tuple[DeliveredMessage, Outgoing]] = []
        self._bound: set[str] = set()
        # Of these a copy went to the end of the queue when it was tried; the copy of an earlier pass is not needed.
        self._tried_in_vain: set[str] = set()
        self.done = Redriven()

    async def run(self, count: int) -> None:
        for _ in range(count):
            # The copies of what was tried in vain lie behind: passes that end before them would pile them up.
            if self._is_enough() and not self._tried_in_vain:
                break
            delivered = await self._reader.next()
            if delivered is None:
                break
            await self._consider(delivered)
        await self._flush()

    async def _consider(self, delivered: DeliveredMessage) -> None:
        message = event_of(delivered)
        if message is None:
            self._reader.keep()
            self.done.foreign += 1
            return
        event_type = message.routing_key
        if message.message_id in self._tried_in_vain:
            await self._reader.take(delivered)
        elif self._is_enough() or event_type in self.done.unbound or not matches(self._pattern, event_type):
            self._keep(message)
        elif event_type not in self._bound:
            # Alone and in its turn: one message tells whether the type has a queue, and nothing overtakes.
            await self._flush()
            self._page.append((delivered, message))
            await self._flush()
        else:
            if any(message.message_id == sent.message_id for _, sent in self._page):
                await self._flush()
            self._page.append((delivered, message))
            if len(self._page) >= self._page_events() or self._bytes() >= _PAGE_BYTES:
                await self._flush()

    async def _flush(self) -> None:
        """Send the page; acknowledge what another queue has."""
        page, self._page = self._page, []
        if not page:
            return
        started_at = time.monotonic()
        messages = [message for _, message in page]
        async with asyncio.timeout(self._server.confirm_timeout_seconds):
            bundle = self._sender.bundle()
            for message in messages:
                bundle.add(message)
            returned = await bundle.send()
        fallen = {messages[position].message_id for position in returned}
        fallen |= await self._witness.fallen_through([message.message_id for message in messages])
        for delivered, message in page:
            if message.message_id in fallen:
                self.done.unbound.add(message.routing_key)
                self._tried_in_vain.add(message.message_id)
                self._keep(message)
            else:
                await self._reader.take(delivered)
                self._bound.add(message.routing_key)
                self.done.moved[message.routing_key] += 1
        if self._rate_per_s is not None:
            await Stop().pause(max(0.0, len(page) / self._rate_per_s - (time.monotonic() - started_at)))

    def _keep(self, message: Outgoing) -> None:
        self._reader.keep()
        self.done.left[message.routing_key] += 1

    def _is_enough(self) -> bool:
        return self._most is not None and self.done.moved.total() >= self._most

    def _page_events(self) -> int:
        at_once = _PAGE_EVENTS if self._rate_per_s is None else max(1, min(_PAGE_EVENTS, int(self._rate_per_s)))
        return at_once if self._most is None else min(at_once, self._most - self.done.moved.total())

    def _bytes(self) -> int:
        return sum(len(message.body) for _, message in self._page)


def event_of(delivered: DeliveredMessage) -> Outgoing | None:
    """Return the message as it was sent, or None when no relay sent it and it could not be sent again unchanged."""
    properties = delivered.header.properties
    headers: dict[str, HeaderValue] = {}
    for name, value in (properties.headers or {}).items():
        if name in _BROKER_HEADERS:
            continue
        if not isinstance(value, (str, int, bool)):
            return None
        headers[name] = value
    if (
        not isinstance(headers.get(SEQUENCE), int)
        or not (properties.message_id and properties.message_type and properties.content_type and properties.app_id)
        or any(getattr(properties, name) not in (None, "") for name in _FOREIGN_PROPERTIES)
    ):
        return None
    timestamp = properties.timestamp
    return Outgoing(
        EVENTS,
        # Of an event it is the type; what the relay has parked by hand was routed by the queue's name.
        properties.message_type,
        properties.message_id,
        properties.message_type,
        headers,
        delivered.body,
        content_type=properties.content_type,
        app_id=properties.app_id,
        timestamp=int(timestamp.timestamp()) if isinstance(timestamp, datetime) else None,
    )
