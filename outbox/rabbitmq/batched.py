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

from outbox.rabbitmq.answers import Confirmations, Page, TagsByMessageId, Unanswered
from outbox.rabbitmq.wire import FrameEncoder, Outgoing


class BatchedSender:
    """One dedicated channel with confirms; nobody else may publish on it."""

    def __init__(self, server: str, channel: Channel) -> None:
        self._server = server
        self._channel = channel
        self._encoder = FrameEncoder(channel.number, channel.connection.connection_tune.frame_max or 0)
        self._unanswered = Unanswered()
        # Delivery tags are given by order of writing, whatever the write queue makes wait.
        self._in_order = asyncio.Lock()
        channel.confirmations = cast("dict[int, Any]", Confirmations(self._unanswered))
        channel.message_id_delivery_tag = cast("dict[str, int]", TagsByMessageId(self._unanswered))
        channel.closing.add_done_callback(self._on_close)

    def encode(self, message: Outgoing) -> bytes:
        """Return the message as bytes for `send`.

        Raises:
            Unpublishable: the message does not fit this connection.
        """
        return self._encoder.frames(message)

    async def send(self, messages: Sequence[Outgoing], encoded: Sequence[bytes]) -> Sequence[int]:
        """Send messages in order and return when the broker has answered for each.

        Args:
            messages: at least one; no message id twice, and none that is still unanswered.
            encoded: the same messages as `encode` gave them.

        Returns:
            The positions of those that were routed to no queue.

        Raises:
            PublishNotConfirmed: the broker refused at least one.
            AMQPError: the channel was closed; nobody knows which of them arrived.
        """
        channel = self._channel
        async with self._in_order:
            if channel.is_closed:
                raise ChannelClosed(None, "the channel is closed")
            page = Page(self._server, [message.message_id for message in messages], channel.delivery_tag + 1)
            channel.delivery_tag += len(messages)
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
