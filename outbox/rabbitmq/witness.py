"""The broker remembers what was published last, for the day on which the database has lost it.

One quorum queue, part of the topology, with one message: every new one takes the place of the last. The database is
never asked about its own losses, and a relay that starts anew knows what the one before it has published. A virtual
host serves one outbox; what another one has left there counts as nothing, and is told.
"""

from __future__ import annotations

import asyncio
from uuid import uuid4

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity

from outbox.model.errors import Misconfigured
from outbox.model.guard_events import WitnessMissing, WitnessOfAnother
from outbox.model.lifecycle import Report
from outbox.model.witness import Witness
from outbox.rabbitmq.connection import RabbitServer, connect, open_channel
from outbox.rabbitmq.desired import DEAD, WITNESS, Mode
from outbox.rabbitmq.errors import rabbitmq_errors
from outbox.rabbitmq.topology import NEXT_STEPS
from outbox.rabbitmq.wire import Outgoing
from outbox.supervisor import Stop

# Somebody else who looks has the message for a moment.
_LOOKS = 2
_REST_SECONDS = 0.05


class BrokerWitness:
    """The witness for one connection of a relay."""

    def __init__(self, connection: AbstractConnection, server: RabbitServer, report: Report) -> None:
        self._connection = connection
        self._server = server
        self._report = report
        self.is_there = False

    async def recall(self, origin: str) -> Witness | None:
        """Return what was remembered of this outbox; None when nothing is.

        Raises:
            Misconfigured: the queue is missing where "outbox topology apply" makes it; something else is in it.
            AccessRefused: the user may not read it.
            Unavailable: the broker went away.
        """
        with rabbitmq_errors(str(self._server)):
            async with asyncio.timeout(self._server.connect_timeout_seconds):
                try:
                    body = await _look(self._connection, self._server)
                except ChannelNotFoundEntity:
                    self._missing()
                    return None
        self.is_there = True
        if body is None:
            return None
        found, witness = _read(self._server, body)
        if found != origin:
            self._report(WitnessOfAnother(str(self._server), found))
            return None
        return witness

    def message(self, origin: str, witness: Witness) -> Outgoing:
        """Return the message that takes the place of the last one."""
        return Outgoing(DEAD, WITNESS, str(uuid4()), WITNESS, {}, witness.to_json(origin))

    def _missing(self) -> None:
        if self._server.topology is not Mode.PASSIVE:
            raise Misconfigured(f"{self._server} does not have: queue {WITNESS}", NEXT_STEPS[Mode.POLICIES])
        self._report(WitnessMissing(str(self._server), WITNESS))


async def peek(server: RabbitServer, origin: str) -> Witness | None:
    """Return what is remembered of this outbox, on a connection of its own, and change nothing.

    Raises:
        Unavailable, Misconfigured: the broker cannot be asked.
    """
    async with connect(server, name="outbox-rebase") as connection:
        with rabbitmq_errors(str(server)):
            async with asyncio.timeout(server.connect_timeout_seconds):
                try:
                    body = await _look(connection, server)
                except ChannelNotFoundEntity:
                    return None
    if body is None:
        return None
    found, witness = _read(server, body)
    return witness if found == origin else None


async def _look(connection: AbstractConnection, server: RabbitServer) -> bytes | None:
    """Look at the message and put it back. Needs the permission to read the queue, and none to configure it."""
    channel = await open_channel(connection, str(server))
    queue = await channel.get_queue(WITNESS, ensure=False)
    message = await queue.get(fail=False)
    for _ in range(_LOOKS - 1):
        if message is None:
            await Stop().pause(_REST_SECONDS)
            message = await queue.get(fail=False)
    if message is not None:
        await message.nack(requeue=True)
    await channel.close()
    return message.body if message is not None else None


def _read(server: RabbitServer, body: bytes) -> tuple[str, Witness]:
    try:
        return Witness.from_json(body)
    except ValueError as error:
        raise Misconfigured(
            f"{server}: queue {WITNESS} holds something that no relay has put there",
            "take that message out of the queue, then start the relay again",
        ) from error
