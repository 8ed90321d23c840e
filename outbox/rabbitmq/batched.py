"""Sending a page in one write: frames encoded into one buffer, confirms and returns matched message by message.

aiormq's own publish awaits four times for each message. Here a page costs one entry in the connection's write queue;
the channel's own tables are replaced by ones that know pages. What is used of aiormq 7 beyond its methods
(``write_queue``, ``delivery_tag``, ``confirmations``, ``message_id_delivery_tag``) has public names and is held by the
contract tests; the major version is pinned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast
from zlib import crc32

from aio_pika.abc import AbstractConnection
from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from aiormq.exceptions import ChannelClosed

from outbox.model.claim import EVENT_CONTENT_TYPE
from outbox.model.envelope import Envelope
from outbox.rabbitmq.answers import Confirmations, Page, TagsByMessageId, Unanswered
from outbox.rabbitmq.connection import open_channel
from outbox.rabbitmq.messages import event_message
from outbox.rabbitmq.topology import EVENTS
from outbox.rabbitmq.wire import FrameEncoder, Outgoing, Shared, Stencil

# One for each type and version; should somebody make them from data, the memory for them stays bounded.
_STENCILS_REMEMBERED = 1024


class _Outlet:
    """One dedicated channel with confirms; nobody else may publish on it."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.encoder = FrameEncoder(channel.number, channel.connection.connection_tune.frame_max or 0)
        self.stencils: dict[Shared, Stencil] = {}
        self.unanswered = Unanswered()
        channel.confirmations = cast("dict[int, Any]", Confirmations(self.unanswered))
        channel.message_id_delivery_tag = cast("dict[str, int]", TagsByMessageId(self.unanswered))
        channel.closing.add_done_callback(self._on_close)

    def expect(self, server: str, message_ids: Sequence[str]) -> Page:
        """Give the next delivery tags to messages that are written at once after this."""
        page = Page(server, message_ids, self.channel.delivery_tag + 1)
        self.channel.delivery_tag += len(message_ids)
        self.unanswered.add(page)
        return page

    def stencil(self, event: Envelope, shared: Shared) -> Stencil:
        """Return the form for events like this one."""
        stencil = self.stencils.get(shared)
        if stencil is None:
            if len(self.stencils) >= _STENCILS_REMEMBERED:
                self.stencils.clear()
            stencil = Stencil(self.encoder, EVENTS, event.type, EVENT_CONTENT_TYPE, shared)
            self.stencils[shared] = stencil
        return stencil

    def _on_close(self, closing: asyncio.Future[object]) -> None:
        error = None if closing.cancelled() else closing.exception()
        for page in self.unanswered:
            page.fail(error if isinstance(error, Exception) else ChannelClosed(None, "the channel was closed"))


class BatchedSender:
    """Channels of one connection, over which events are spread by key, so that those of one key stay in order.

    The broker routes and stores what comes over one channel in one of its processes; several use more of its cores.
    """

    def __init__(self, server: str, channels: Sequence[Channel]) -> None:
        self._server = server
        self.outlets = [_Outlet(channel) for channel in channels]
        self._write_queue = channels[0].write_queue
        # Delivery tags are given by order of writing, whatever the write queue makes wait.
        self._in_order = asyncio.Lock()

    def bundle(self) -> BatchedBundle:
        """Begin a bundle of messages that are to be sent together."""
        return BatchedBundle(self)

    async def send(self, parts: Sequence[_Part]) -> Sequence[int]:
        """Write what a bundle has gathered; see `BatchedBundle.send`."""
        async with self._in_order:
            if any(outlet.channel.is_closed for outlet in self.outlets):
                raise ChannelClosed(None, "the channel is closed")
            pages = [part.outlet.expect(self._server, part.message_ids) for part in parts]
            encoded = b"".join([frames for part in parts for frames in part.encoded])
            await self._write_queue.put(ChannelFrame(encoded, should_close=False))
        answers = [page.answered for page in pages]
        try:
            await asyncio.wait(answers, return_when=asyncio.FIRST_EXCEPTION)
            for error in [answer.exception() for answer in answers if answer.done()]:
                if error is not None:
                    raise error
        finally:
            for part, page in zip(parts, pages, strict=True):
                part.outlet.unanswered.discard(page)
        # As the events were given, whichever channel was faster.
        return sorted(
            part.places[position] for part, page in zip(parts, pages, strict=True) for position in page.returned
        )


class _Part:
    """What of a bundle goes over one channel; ``places``: the places of these messages in the bundle."""

    def __init__(self, outlet: _Outlet) -> None:
        self.outlet = outlet
        self.message_ids: list[str] = []
        self.encoded: list[bytes] = []
        self.places: list[int] = []


class BatchedBundle:
    """Messages that are written at once."""

    def __init__(self, sender: BatchedSender) -> None:
        self._sender = sender
        self._parts = [_Part(outlet) for outlet in sender.outlets]
        self._count = 0

    def add(self, message: Outgoing) -> None:
        """Add a message; all that come this way keep their order.

        Raises:
            Unpublishable: it does not fit this connection.
        """
        part = self._parts[0]
        self._append(part, message.message_id, part.outlet.encoder.frames(message))

    def add_event(self, event: Envelope, shared: Shared) -> None:
        """Add an event, as `event_message` has it; those of one key keep their order.

        Raises:
            Unpublishable: it does not fit this connection.
        """
        # Not hash(): it differs from process to process, and what a person sees on the wire should not.
        turn = event.sequence if event.key is None else crc32(event.key.encode())
        part = self._parts[turn % len(self._parts)]
        outlet = part.outlet
        frames = outlet.stencil(event, shared).frames(event)
        if frames is None:
            frames = outlet.encoder.frames(event_message(event, shared))
        self._append(part, event.message_id, frames)

    async def send(self) -> Sequence[int]:
        """Send the messages and return when the broker has answered for each.

        There must be at least one, no message id twice, and none that is still unanswered on this connection.

        Returns:
            The positions of those that were routed to no queue.

        Raises:
            PublishNotConfirmed: the broker refused at least one.
            AMQPError: a channel was closed; nobody knows which of them arrived.
        """
        return await self._sender.send([part for part in self._parts if part.message_ids])

    def _append(self, part: _Part, message_id: str, frames: bytes) -> None:
        part.message_ids.append(message_id)
        part.encoded.append(frames)
        part.places.append(self._count)
        self._count += 1


async def own_channel(connection: AbstractConnection, server: str) -> Channel:
    """Open a channel for a `BatchedSender`."""
    channel = await open_channel(connection, server, publisher_confirms=True, on_return_raises=True)
    underlay = await channel.get_underlay_channel()
    if not isinstance(underlay, Channel):
        raise TypeError(f"aio-pika gave {type(underlay)} for a channel")
    return underlay
