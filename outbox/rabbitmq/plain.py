"""Sending through aio-pika's own publish: the fallback, should a release of the library take the batched way away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractExchange
from aio_pika.exceptions import DeliveryError
from aiormq.exceptions import PublishError
from pamqp.commands import Basic
from pamqp.common import FieldValue

from outbox.model.envelope import Envelope
from outbox.model.errors import PublishNotConfirmed
from outbox.rabbitmq.messages import event_message
from outbox.rabbitmq.wire import FrameEncoder, Outgoing, Shared


class PlainSender:
    """One channel with confirms and ``on_return_raises``; the same contract as `BatchedSender`."""

    def __init__(self, server: str, channel: AbstractChannel, number: int, frame_max_bytes: int) -> None:
        self._server = server
        self._channel = channel
        self._encoder = FrameEncoder(number, frame_max_bytes)
        self._exchanges: dict[str, AbstractExchange] = {"": channel.default_exchange}

    def bundle(self) -> PlainBundle:
        """Begin a bundle of messages that are to be sent together."""
        return PlainBundle(self, self._encoder)

    async def send(self, messages: Sequence[Outgoing]) -> Sequence[int]:
        """Send what a bundle has gathered."""
        returned: list[int] = []
        try:
            async with asyncio.TaskGroup() as group:
                for position, message in enumerate(messages):
                    exchange = await self._exchange(message.exchange)
                    group.create_task(self._send(exchange, message, position, returned))
        except ExceptionGroup as group_error:
            # One cause is enough: whichever it was, the channel is not used again.
            raise group_error.exceptions[0] from group_error
        return returned

    async def _send(self, exchange: AbstractExchange, message: Outgoing, position: int, returned: list[int]) -> None:
        try:
            confirmation = await exchange.publish(_message(message), message.routing_key, mandatory=True)
        except PublishError:
            returned.append(position)
        except DeliveryError as error:
            raise PublishNotConfirmed(f"{self._server} refused a message: {error}") from error
        else:
            if not isinstance(confirmation, Basic.Ack):
                raise PublishNotConfirmed(f"{self._server} answered {type(confirmation).__name__} instead of an ack")

    async def _exchange(self, name: str) -> AbstractExchange:
        if name not in self._exchanges:
            self._exchanges[name] = await self._channel.get_exchange(name, ensure=False)
        return self._exchanges[name]


class PlainBundle:
    """Messages that are sent together; the same contract as `BatchedBundle`."""

    def __init__(self, sender: PlainSender, encoder: FrameEncoder) -> None:
        self._sender = sender
        self._encoder = encoder
        self._messages: list[Outgoing] = []

    def add(self, message: Outgoing) -> None:
        """Add a message; aio-pika encodes it itself, so this only tells whether it fits."""
        self._encoder.frames(message)
        self._messages.append(message)

    def add_event(self, event: Envelope, shared: Shared) -> None:
        """Add an event."""
        self.add(event_message(event, shared))

    async def send(self) -> Sequence[int]:
        """Send the messages in order and return the positions of those that were routed to no queue."""
        return await self._sender.send(self._messages)


def _message(message: Outgoing) -> Message:
    return Message(
        message.body,
        headers=dict[str, FieldValue](message.all_headers()),
        message_id=message.message_id,
        type=message.type,
        timestamp=message.timestamp,
        app_id=message.app_id,
        content_type=message.content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
    )
