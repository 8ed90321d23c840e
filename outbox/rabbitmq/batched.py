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

from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from aiormq.exceptions import ChannelClosed

from outbox.model.claim import EVENT_CONTENT_TYPE
from outbox.model.envelope import Envelope
from outbox.rabbitmq.answers import Confirmations, Page, TagsByMessageId, Unanswered
from outbox.rabbitmq.messages import event_message
from outbox.rabbitmq.topology import EVENTS
from outbox.rabbitmq.wire import FrameEncoder, Outgoing, Shared, Stencil

# One for each type and version; should somebody make them from data, the memory for them stays bounded.
_STENCILS_REMEMBERED = 1024


class BatchedSender:
    """One dedicated channel with confirms; nobody else may publish on it."""

    def __init__(self, server: str, channel: Channel) -> None:
        self._server = server
        self._channel = channel
        self._encoder = FrameEncoder(channel.number, channel.connection.connection_tune.frame_max or 0)
        self._stencils: dict[Shared, Stencil] = {}
        self._unanswered = Unanswered()
        # Delivery tags are given by order of writing, whatever the write queue makes wait.
        self._in_order = asyncio.Lock()
        channel.confirmations = cast("dict[int, Any]", Confirmations(self._unanswered))
        channel.message_id_delivery_tag = cast("dict[str, int]", TagsByMessageId(self._unanswered))
        channel.closing.add_done_callback(self._on_close)

    def bundle(self) -> BatchedBundle:
        """Begin a bundle of messages that are to be sent together."""
        return BatchedBundle(self, self._encoder, self._stencils)

    async def send(self, message_ids: Sequence[str], encoded: Sequence[bytes]) -> Sequence[int]:
        """Write what a bundle has gathered; see `BatchedBundle.send`."""
        channel = self._channel
        async with self._in_order:
            if channel.is_closed:
                raise ChannelClosed(None, "the channel is closed")
            page = Page(self._server, message_ids, channel.delivery_tag + 1)
            channel.delivery_tag += len(message_ids)
            self._unanswered.add(page)
            await channel.write_queue.put(ChannelFrame(b"".join(encoded), should_close=False))
        try:
            await page.answered
        finally:
            self._unanswered.discard(page)
        return page.returned

    def _on_close(self, closing: asyncio.Future[object]) -> None:
        error = None if closing.cancelled() else closing.exception()
        for page in self._unanswered:
            page.fail(error if isinstance(error, Exception) else ChannelClosed(None, "the channel was closed"))


class BatchedBundle:
    """Messages that are written at once."""

    def __init__(self, sender: BatchedSender, encoder: FrameEncoder, stencils: dict[Shared, Stencil]) -> None:
        self._sender = sender
        self._encoder = encoder
        self._stencils = stencils
        self._message_ids: list[str] = []
        self._encoded: list[bytes] = []

    def add(self, message: Outgoing) -> None:
        """Add a message.

        Raises:
            Unpublishable: it does not fit this connection.
        """
        self._encoded.append(self._encoder.frames(message))
        self._message_ids.append(message.message_id)

    def add_event(self, event: Envelope, shared: Shared) -> None:
        """Add an event, as `event_message` has it.

        Raises:
            Unpublishable: it does not fit this connection.
        """
        stencil = self._stencils.get(shared) or self._cut(event, shared)
        frames = stencil.frames(event)
        if frames is None:
            self.add(event_message(event, shared))
        else:
            self._encoded.append(frames)
            self._message_ids.append(event.message_id)

    async def send(self) -> Sequence[int]:
        """Send the messages in order and return when the broker has answered for each.

        There must be at least one, no message id twice, and none that is still unanswered on this channel.

        Returns:
            The positions of those that were routed to no queue.

        Raises:
            PublishNotConfirmed: the broker refused at least one.
            AMQPError: the channel was closed; nobody knows which of them arrived.
        """
        return await self._sender.send(self._message_ids, self._encoded)

    def _cut(self, event: Envelope, shared: Shared) -> Stencil:
        if len(self._stencils) >= _STENCILS_REMEMBERED:
            self._stencils.clear()
        stencil = Stencil(self._encoder, EVENTS, event.type, EVENT_CONTENT_TYPE, shared)
        self._stencils[shared] = stencil
        return stencil
