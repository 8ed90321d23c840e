"""How large a message this broker takes. It tells so over AMQP only by refusing one."""

from __future__ import annotations

import re

from aio_pika.exceptions import ChannelPreconditionFailed

from outbox.model.envelope import Envelope
from outbox.model.errors import Unavailable, Unpublishable

# RabbitMQ says so in the text only; 3.8 to 4.x write it in these two ways.
_TOO_LARGE = re.compile(r"message size (\d+) is larger than (?:configured )?max size (\d+)")


class SizeLimits:
    """What this broker takes, learned from what it refused.

    It is known for the connection that follows, which sends the page again, and as long as that lasts. Every other new
    connection may lead to a broker that takes more by now: it begins without a limit, and the first event that is too
    large teaches it again. So what the broker would take is refused no longer than a connection lives, and a page gets
    past such an event at the second try.

    With ``has_claim_check`` a larger payload is left in the outbox instead of being refused.
    """

    def __init__(self, *, has_claim_check: bool = False) -> None:
        self.has_claim_check = has_claim_check
        self.max_body_bytes: int | None = None
        self._is_just_learned = False

    def connected(self) -> None:
        """Note that a connection was opened: keep the limit if this is the one that learning it has cost."""
        if not self._is_just_learned:
            self.max_body_bytes = None
        self._is_just_learned = False

    def take(self, event: Envelope) -> bool:
        """Say whether the broker takes a body of this size, as far as is known; else it would close the channel."""
        return self.max_body_bytes is None or len(event.payload) <= self.max_body_bytes

    def refusal(self, event: Envelope) -> Unpublishable:
        """Return why an event is not even tried, with both sizes."""
        return Unpublishable(
            f"payload has {len(event.payload)} bytes, this broker takes {self.max_body_bytes} (max_message_size)"
        )

    def learn(self, server: str, error: Exception) -> None:
        """Remember the broker's limit if that is what the error is about.

        Raises:
            Unavailable: it was; sent again, the event is refused by itself and holds nobody up.
        """
        found = _TOO_LARGE.search(str(error)) if isinstance(error, ChannelPreconditionFailed) else None
        if found is not None:
            self.max_body_bytes = int(found[2])
            self._is_just_learned = True
            raise Unavailable(
                server, f"it takes messages of {found[2]} bytes at most; larger payloads stay in the outbox"
            ) from error
