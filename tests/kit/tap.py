"""A downstream service of its own: keeps everything that is on the wire, in its order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from outbox.rabbitmq.topology import EVENTS, declare
from sandbox.changes import Changes
from tests.kit.broker import Broker


@dataclass(frozen=True, slots=True)
class Seen:
    message_id: str
    key: str
    sequence: int


class Tap:
    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._changes = Changes()

    async def on_message(self, message: AbstractIncomingMessage) -> None:
        """Keep a message. The library starts one task for each, in order; nothing here may await."""
        sequence = message.headers["sequence"]
        assert isinstance(sequence, int)
        self.seen.append(Seen(str(message.message_id), str(message.headers.get("key")), sequence))
        self._changes.notify()

    async def saw(self, count: int, *, within_seconds: float = 30.0) -> None:
        """Wait until this many messages were on the wire, repeated ones included."""
        try:
            await self._changes.until(lambda: len(self.seen) >= count, within_seconds=within_seconds)
        except TimeoutError:
            raise AssertionError(f"saw {len(self.seen)} messages instead of {count}: {self.seen[-10:]}") from None

    def ids(self) -> list[str]:
        return [message.message_id for message in self.seen]

    def first_sequences(self) -> dict[str, list[int]]:
        """Return the sequences of each key, in the order in which they were first seen."""
        by_key: dict[str, list[int]] = {}
        for message in self.seen:
            known = by_key.setdefault(message.key, [])
            if message.sequence not in known:
                known.append(message.sequence)
        return by_key


@asynccontextmanager
async def tapped(broker: Broker) -> AsyncIterator[Tap]:
    """Listen from now on, also before any process of the sidecar has declared the exchanges."""
    tap = Tap()
    connection = await aio_pika.connect(broker.url)
    async with connection:
        await declare(connection, "the broker", ())
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(EVENTS, "#")
        await queue.consume(tap.on_message, no_ack=True)
        yield tap
