"""Which messages no queue was bound for, although the broker confirmed them: the alternate exchange took them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import ChannelLockedResource
from pamqp.commands import Basic

from outbox.model.errors import Misconfigured, Unavailable
from outbox.rabbitmq.connection import RabbitServer, connect, open_channel
from outbox.rabbitmq.topology import DEAD, UNROUTED

_WITNESS = "outbox.unrouted.witness"


class AlternateWitness:
    """A queue beside outbox.unrouted that gets a copy of whatever falls through; gone with the connection.

    It belongs to one connection, so it also is the lock that keeps two programs from reading the queue at once. (An
    exclusive consumer would be the usual way; RabbitMQ does not refuse a second one on a quorum queue.)
    """

    def __init__(self, server: RabbitServer, channel: AbstractChannel) -> None:
        self._server = server
        self._channel = channel
        self._has_alternate = False
        self._seen: set[str] = set()
        self._fence: str | None = None
        self._is_through = asyncio.Event()

    @classmethod
    async def open(cls, connection: AbstractConnection, server: RabbitServer) -> AlternateWitness:
        """Take the lock.

        Raises:
            Misconfigured: somebody else has it.
        """
        channel = await (await open_channel(connection, str(server), publisher_confirms=False)).get_underlay_channel()
        try:
            await channel.queue_declare(_WITNESS, exclusive=True)
        except ChannelLockedResource as error:
            raise Misconfigured(
                f"{server}: {UNROUTED} is being listed or redriven by somebody else",
                "let that end first: two at once would mix up the order",
            ) from error
        return cls(server, channel)

    async def watch(self) -> None:
        """Begin to see what falls through. Without an alternate exchange nothing does: the broker returns it."""
        if self._has_alternate or not await _has_exchange(self._server):
            return
        # First the queue that keeps: where it was missing, ours would be the only one, and end with us.
        await self._channel.queue_bind(UNROUTED, UNROUTED)
        await self._channel.queue_bind(_WITNESS, UNROUTED)
        # The fence's way: through an exchange that sends it nowhere else, and that needs no right to every queue, which
        # writing to the default exchange is.
        await self._channel.queue_bind(_WITNESS, DEAD, routing_key=_WITNESS)
        await self._channel.basic_consume(_WITNESS, self._on_message, no_ack=True)
        self._channel.closing.add_done_callback(lambda _: self._is_through.set())
        self._has_alternate = True

    async def fallen_through(self, message_ids: Collection[str]) -> set[str]:
        """Return which of these messages, all of them confirmed, went to the alternate exchange.

        Raises:
            Unavailable: the broker cannot tell any more.
        """
        if not self._has_alternate:
            return set()
        self._fence = str(uuid.uuid4())
        self._is_through.clear()
        # A confirmed message is in this queue, if it belongs there; so it is before the fence.
        await self._channel.basic_publish(
            b"", exchange=DEAD, routing_key=_WITNESS, properties=Basic.Properties(message_id=self._fence)
        )
        async with asyncio.timeout(self._server.confirm_timeout_seconds):
            await self._is_through.wait()
        if self._channel.is_closed:
            raise self._why_closed()
        found = self._seen.intersection(message_ids)
        self._seen.clear()
        return found

    def _why_closed(self) -> Exception:
        closing = self._channel.closing
        error = closing.exception() if closing.done() and not closing.cancelled() else None
        return error if isinstance(error, Exception) else Unavailable(str(self._server), "the channel was closed")

    async def _on_message(self, delivered: DeliveredMessage) -> None:
        message_id = delivered.header.properties.message_id
        if message_id is None:
            return
        if message_id == self._fence:
            self._is_through.set()
        else:
            self._seen.add(message_id)


async def _has_exchange(server: RabbitServer) -> bool:
    # On a connection of its own: the broker closes the channel when there is none, and the library answers such a
    # close with one of its own, which would cost the whole connection.
    async with connect(server, name="outbox-unrouted-check") as connection:
        channel = await open_channel(connection, str(server), publisher_confirms=False)
        try:
            await channel.declare_exchange(UNROUTED, passive=True)
        except ChannelNotFoundEntity:
            return False
        return True
