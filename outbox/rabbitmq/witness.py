"""The broker remembers what was published last, for the day on which the database has lost it.

One quorum queue for each lane, part of the topology, with one message: every new one takes the place of the last. The
database is never asked about its own losses, and a relay that starts anew knows what the one before it has published. A
virtual host serves one outbox; what another one has left there counts as nothing, and is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity, DeliveryError

from outbox.model.errors import Misconfigured
from outbox.model.guard_events import WitnessMissing, WitnessOfAnother
from outbox.model.lifecycle import Report
from outbox.model.witness import Witness, together
from outbox.rabbitmq.connection import RabbitServer, connect, open_channel
from outbox.rabbitmq.desired import DEAD, FlowRoute, Mode, witness_queue
from outbox.rabbitmq.errors import rabbitmq_errors
from outbox.rabbitmq.topology import NEXT_STEPS, declare
from outbox.rabbitmq.wire import Outgoing
from outbox.supervisor import Stop

# Somebody else who looks has the message for a moment.
_LOOKS = 2
_REST_SECONDS = 0.05


class BrokerWitness:
    """The witness for one connection of a relay."""

    def __init__(self, connection: AbstractConnection, server: RabbitServer, report: Report, *, lane: int = 0) -> None:
        self._connection = connection
        self._server = server
        self._report = report
        self._queue = witness_queue(lane)
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
                    body = await _look(self._connection, self._server, self._queue)
                except ChannelNotFoundEntity:
                    self._missing()
                    return None
        self.is_there = True
        if body is None:
            return None
        found, witness = _read(self._server, self._queue, body)
        if found != origin:
            self._report(WitnessOfAnother(str(self._server), found))
            return None
        return witness

    def message(self, origin: str, witness: Witness) -> Outgoing:
        """Return the message that takes the place of the last one."""
        return Outgoing(DEAD, self._queue, str(uuid4()), self._queue, {}, witness.to_json(origin))

    def _missing(self) -> None:
        if self._server.topology is not Mode.PASSIVE:
            raise Misconfigured(f"{self._server} does not have: queue {self._queue}", NEXT_STEPS[Mode.POLICIES])
        self._report(WitnessMissing(str(self._server), self._queue))


async def peek(server: RabbitServer, origin: str, *, lanes: int = 1) -> Witness | None:
    """Return what is remembered of this outbox by any of its lanes, on a connection of its own, and change nothing.

    Raises:
        Unavailable, Misconfigured: the broker cannot be asked.
    """
    known: Witness | None = None
    async with connect(server, name="outbox-rebase") as connection:
        for lane in range(lanes):
            known = together(known, await _peek_lane(connection, server, origin, witness_queue(lane)))
    return known


async def _peek_lane(connection: AbstractConnection, server: RabbitServer, origin: str, queue: str) -> Witness | None:
    with rabbitmq_errors(str(server)):
        async with asyncio.timeout(server.connect_timeout_seconds):
            try:
                body = await _look(connection, server, queue)
            except ChannelNotFoundEntity:
                return None
    if body is None:
        return None
    found, witness = _read(server, queue, body)
    return witness if found == origin else None


async def _look(connection: AbstractConnection, server: RabbitServer, name: str) -> bytes | None:
    """Look at the message and put it back. Needs the permission to read the queue, and none to configure it."""
    channel = await open_channel(connection, str(server))
    queue = await channel.get_queue(name, ensure=False)
    message = await queue.get(fail=False)
    for _ in range(_LOOKS - 1):
        if message is None:
            await Stop().pause(_REST_SECONDS)
            message = await queue.get(fail=False)
    if message is not None:
        await message.nack(requeue=True)
    await channel.close()
    return message.body if message is not None else None


def _read(server: RabbitServer, queue: str, body: bytes) -> tuple[str, Witness]:
    try:
        return Witness.from_json(body)
    except ValueError as error:
        raise Misconfigured(
            f"{server}: queue {queue} holds something that no relay has put there",
            "take that message out of the queue, then start the relay again",
        ) from error


async def hand_over(
    server: RabbitServer, flows: Sequence[FlowRoute], origin: str, *, lanes_before: int, lanes_after: int
) -> None:
    """Give what any lane has remembered to every lane that there is to be; each of them then tells of a loss.

    Raises:
        Misconfigured: a queue is missing where "outbox topology apply" makes it.
        Unavailable: the broker went away.
    """
    known = await peek(server, origin, lanes=lanes_before)
    async with connect(server, name="outbox-lanes") as connection:
        if server.topology is Mode.ARGUMENTS:
            await declare(connection, str(server), flows, lanes=max(lanes_before, lanes_after))
        if known is None:
            # Not an empty memory: it would say that nothing was published.
            return
        # The newest last: they are what is kept longest.
        newest_last = Witness(tuple(sorted(known.published, key=lambda event: event.sequence)))
        for lane in range(lanes_after):
            await _tell(connection, server, witness_queue(lane), newest_last.to_json(origin))


async def _tell(connection: AbstractConnection, server: RabbitServer, queue: str, body: bytes) -> None:
    with rabbitmq_errors(str(server)):
        async with asyncio.timeout(server.connect_timeout_seconds):
            channel = await open_channel(connection, str(server), publisher_confirms=True, on_return_raises=True)
            exchange = await channel.get_exchange(DEAD, ensure=False)
            try:
                await exchange.publish(
                    Message(body, message_id=str(uuid4()), delivery_mode=DeliveryMode.PERSISTENT), queue
                )
            except DeliveryError as error:
                if server.topology is not Mode.PASSIVE:
                    raise Misconfigured(
                        f"{server} does not have: queue {queue}",
                        f"set relay.lanes to the new number, then {NEXT_STEPS[Mode.POLICIES]}",
                    ) from error
            await channel.close()
