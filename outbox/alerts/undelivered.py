"""The one error of a channel."""

from __future__ import annotations

from outbox.model.errors import OutboxError


class Undelivered(OutboxError):
    """A channel took no notice; it is tried again later.

    Args:
        reason: what was seen, in one line: never the address, which may be the key to it, and no answer's text.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
