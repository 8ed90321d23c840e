"""Publishing with proof: a message counts as sent when the broker has confirmed it and routed it to a queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from aio_pika import DeliveryMode
from aio_pika import Message as AmqpMessage
from aio_pika.abc import AbstractChannel, AbstractExchange
from aiormq.exceptions import PublishError
from pamqp.commands import Basic

from outbox.model.envelope import SHORT_STRING_MAX_BYTES, Envelope, HeaderValue, RefusedEvent, wire_headers
from outbox.model.errors import PublishNotConfirmed
from outbox.model.inbox import DeadLetter
from outbox.model.lifecycle import Report, Unrouted
from outbox.rabbitmq.connection import RabbitServer, connect, open_channel
from outbox.rabbitmq.errors import rabbitmq_errors
from outbox.rabbitmq.topology import DEAD, EVENTS, REJECTED, UNROUTED, FlowRoute, declare

_APP_ID = "outbox"
T = TypeVar("T")


class ConfirmingPublisher:
    """One channel with confirms. After any error it is not used again: its owner opens another."""

    def __init__(self, server: RabbitServer, channel: AbstractChannel, source: str, report: Report) -> None:
        self._server = server
        self._channel = channel
        self._source = source
        self._report = report
        self._exchanges: dict[str, AbstractExchange] = {}

    async def publish(self, events: Sequence[Envelope]) -> None:
        """Send a page in order and return when every message is confirmed and in a queue.

        Raises:
            PublishNotConfirmed: at least one was refused; all of them may be sent again.
            Unavailable: the broker went away; the same.
        """
        exchange = await self._exchange(EVENTS)
        await self._all(events, lambda event: self._publish_event(exchange, event))

    async def publish_rejected(self, event: RefusedEvent) -> None:
        """Tell the dead-letter exchange of an event that cannot become a message; its payload stays in the outbox."""
        exchange = await self._exchange(DEAD)
        headers: dict[str, HeaderValue] = {
            "sequence": event.sequence,
            "version": event.version,
            "x-outbox-reason": event.reason,
            "x-outbox-reason-class": "unpublishable",
        }
        if event.key is not None:
            headers["key"] = event.key
        message = _message(b"", event.message_id, event.type, headers, content_type="application/octet-stream")
        await self._all([message], lambda one: self._send(exchange, one, REJECTED))

    async def publish_dead(self, letters: Sequence[DeadLetter]) -> None:
        """Send the copies of dead deliveries and return when every one is confirmed and in its queue."""
        exchange = await self._exchange(DEAD)
        await self._all(letters, lambda letter: self._send(exchange, _dead_message(letter), letter.flow))

    async def _publish_event(self, exchange: AbstractExchange, event: Envelope) -> None:
        message = _message(
            event.payload,
            event.message_id,
            event.type,
            wire_headers(event, source=self._source),
            timestamp=event.created_at_epoch_seconds,
        )
        try:
            await self._confirm(exchange, message, event.type)
        except PublishError:
            # No alternate exchange took it: parked by hand, so that nothing is lost and nothing waits behind it.
            await self._send(self._channel.default_exchange, message, UNROUTED)
            self._report(Unrouted(event.message_id, event.type))

    async def _send(self, exchange: AbstractExchange, message: AmqpMessage, routing_key: str) -> None:
        try:
            await self._confirm(exchange, message, routing_key)
        except PublishError as error:
            raise PublishNotConfirmed(
                f"{self._server} has no queue for {exchange.name or 'the default exchange'} / {routing_key}"
            ) from error

    async def _confirm(self, exchange: AbstractExchange, message: AmqpMessage, routing_key: str) -> None:
        confirmation = await exchange.publish(message, routing_key, mandatory=True)
        if not isinstance(confirmation, Basic.Ack):
            raise PublishNotConfirmed(f"{self._server} answered {type(confirmation).__name__} instead of an ack")

    async def _all(self, things: Sequence[T], send: Callable[[T], Coroutine[None, None, None]]) -> None:
        """Start every send in order on the one channel, and wait for all confirms together."""
        with rabbitmq_errors(str(self._server)):
            try:
                async with (
                    asyncio.timeout(self._server.confirm_timeout_seconds),
                    asyncio.TaskGroup() as group,
                ):
                    for thing in things:
                        group.create_task(send(thing))
            except ExceptionGroup as group_error:
                # One cause is enough: whichever it was, the channel is not used again.
                raise group_error.exceptions[0] from group_error

    async def _exchange(self, name: str) -> AbstractExchange:
        if name not in self._exchanges:
            self._exchanges[name] = await self._channel.get_exchange(name, ensure=False)
        return self._exchanges[name]


class RabbitBroker:
    """Opens publishers on connections of their own."""

    def __init__(
        self, server: RabbitServer, flows: Sequence[FlowRoute], *, source: str, name: str, report: Report
    ) -> None:
        self._server = server
        self._flows = flows
        self._source = source
        self._name = name
        self._report = report

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator[ConfirmingPublisher]:
        """Connect, declare the topology, and give a publisher for the length of the block."""
        async with connect(self._server, name=self._name) as connection:
            await declare(connection, str(self._server), self._flows)
            with rabbitmq_errors(str(self._server)):
                async with asyncio.timeout(self._server.connect_timeout_seconds):
                    channel = await open_channel(
                        connection, str(self._server), publisher_confirms=True, on_return_raises=True
                    )
            yield ConfirmingPublisher(self._server, channel, self._source, self._report)


def _message(
    body: bytes,
    message_id: str,
    event_type: str,
    headers: Mapping[str, HeaderValue],
    *,
    timestamp: int | None = None,
    content_type: str = "application/json",
) -> AmqpMessage:
    return AmqpMessage(
        body,
        headers=dict(headers),
        message_id=message_id,
        type=event_type,
        timestamp=timestamp,
        app_id=_APP_ID,
        content_type=content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
    )


def _dead_message(letter: DeadLetter) -> AmqpMessage:
    headers: dict[str, HeaderValue] = {
        name: value for name, value in letter.headers.items() if isinstance(value, (str, int, bool))
    }
    headers |= {
        "x-outbox-flow": letter.flow,
        "x-outbox-reason": letter.reason,
        "x-outbox-reason-class": letter.reason_class,
        "x-outbox-attempts": letter.attempts,
    }
    return _message(letter.body, letter.message_id, _short(letter.type), headers)


def _short(value: str) -> str:
    return value.encode()[:SHORT_STRING_MAX_BYTES].decode(errors="ignore")
