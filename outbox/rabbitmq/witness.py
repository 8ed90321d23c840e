"""The broker remembers what was published last, for the day on which the database has lost it.

One quorum queue for each outbox (and its copies), with one message: every new one takes the place of the last. The
database is never asked about its own losses, and a relay that starts anew knows what the one before it has published.
"""

from __future__ import annotations

import asyncio
from uuid import uuid4

from aio_pika.abc import AbstractConnection, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity

from outbox.model.errors import Misconfigured
from outbox.model.witness import Witness
from outbox.rabbitmq.connection import RabbitServer, connect, open_channel
from outbox.rabbitmq.errors import rabbitmq_errors
from outbox.rabbitmq.topology import KEPT_DELIVERY_LIMIT
from outbox.rabbitmq.wire import Outgoing

_ARGUMENTS: dict[str, str | int] = {
    "x-queue-type": "quorum",
    "x-max-length": 1,
    # Every look is a delivery, and the message is put back.
    "x-delivery-limit": KEPT_DELIVERY_LIMIT,
}


def witness_queue(origin: str) -> str:
    """Return the queue that remembers for an outbox."""
    return f"outbox.witness.{origin}"


def witness_message(origin: str, witness: Witness) -> Outgoing:
    """Return the message that takes the place of the last one."""
    return Outgoing("", witness_queue(origin), str(uuid4()), "outbox.witness", {}, witness.to_json())


async def recall(connection: AbstractConnection, server: RabbitServer, origin: str) -> Witness | None:
    """Return what was remembered; None when nobody has ever led this outbox on this broker. Declares the queue.

    Raises:
        Misconfigured: something else is in the queue.
        Unavailable: the broker went away.
    """
    with rabbitmq_errors(str(server)):
        async with asyncio.timeout(server.connect_timeout_seconds):
            channel = await open_channel(connection, str(server))
            queue = await channel.declare_queue(witness_queue(origin), durable=True, arguments=dict(_ARGUMENTS))
            witness = await _look(queue, server)
            await channel.close()
            return witness


async def peek(server: RabbitServer, origin: str) -> Witness | None:
    """Return what is remembered, on a connection of its own, and change nothing.

    Raises:
        Unavailable, Misconfigured: the broker cannot be asked.
    """
    async with connect(server, name="outbox-rebase") as connection:
        with rabbitmq_errors(str(server)):
            async with asyncio.timeout(server.connect_timeout_seconds):
                channel = await open_channel(connection, str(server))
                try:
                    queue = await channel.declare_queue(witness_queue(origin), passive=True)
                except ChannelNotFoundEntity:
                    return None
                return await _look(queue, server)


async def _look(queue: AbstractQueue, server: RabbitServer) -> Witness | None:
    message = await queue.get(fail=False)
    if message is None:
        return None
    await message.nack(requeue=True)
    try:
        return Witness.from_json(message.body)
    except ValueError as error:
        raise Misconfigured(
            f"{server}: queue {queue.name} holds something that no relay has put there",
            "take that message out of the queue, then start the relay again",
        ) from error
