"""How many messages wait in outbox.unrouted: the one number that is true with and without an alternate exchange."""

from __future__ import annotations

import asyncio

from aio_pika.abc import AbstractConnection

from outbox.model.lifecycle import Report, UnroutedSeen
from outbox.rabbitmq.connection import RabbitServer, open_channel
from outbox.rabbitmq.errors import rabbitmq_errors
from outbox.rabbitmq.topology import UNROUTED


class UnroutedWatch:
    """Counts what arrives there between two looks; outlives the connections.

    The broker confirms what its alternate exchange takes and returns nothing, so arrivals are told from the depth of
    the queue: at least so many. What was returned and parked by hand is counted when it is parked.
    """

    def __init__(self, server: RabbitServer, report: Report) -> None:
        self._server = server
        self._report = report
        self._before: int | None = None
        self._parked_by_hand = 0

    def parked(self, messages: int) -> None:
        """Note what was parked by hand since the last look."""
        self._parked_by_hand += messages

    async def look(self, connection: AbstractConnection) -> None:
        """Count and report.

        Raises:
            Unavailable: the broker went away, or the queue is not there; it is declared again.
        """
        with rabbitmq_errors(str(self._server)):
            async with asyncio.timeout(self._server.connect_timeout_seconds):
                channel = await open_channel(connection, str(self._server), publisher_confirms=False)
                queue = await channel.declare_queue(UNROUTED, passive=True)
                await channel.close()
        messages = queue.declaration_result.message_count or 0
        known = messages if self._before is None else self._before + self._parked_by_hand
        self._report(UnroutedSeen(messages, max(0, messages - known)))
        self._before, self._parked_by_hand = messages, 0
