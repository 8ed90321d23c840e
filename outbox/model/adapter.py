"""The adapter protocol: what the flow runtime asks of a target system's module.

An adapter describes its call as a value (`render`), so that its hash can be stored before the first byte leaves,
and sends exactly that value (`send`). After an unknown outcome the runtime acts on the declared recovery strategy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from outbox.model.outcome import Receipt


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The target remembers keys: sending again with the same key and body is safe inside the window.

    ``window_seconds`` is what the target promises; ``margin_seconds`` is kept back for the call itself.
    """

    window_seconds: float
    margin_seconds: float = 60.0

    def is_open(self, sent_age_seconds: float) -> bool:
        """Say whether a request first sent this long ago may be sent again."""
        return sent_age_seconds < self.window_seconds - self.margin_seconds


@dataclass(frozen=True, slots=True)
class NoRecovery:
    """Nothing makes a second call safe: an unknown outcome is parked for a person."""


RecoveryStrategy = IdempotencyKey | NoRecovery


@dataclass(frozen=True, slots=True)
class Delivery:
    """What an adapter gets to see of a delivery: the mapped document, never the envelope's bytes."""

    flow: str
    message_id: str
    type: str
    version: int
    key: str | None
    sequence: int
    idempotency_key: str
    document: Mapping[str, object]
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One call, complete but for the credentials, which are added when it is sent.

    Rendering the same delivery twice gives the same request: no clock, no random numbers, no attempt count.
    """

    method: str
    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def sha256(self) -> bytes:
        """Return the 32-byte hash that proves that a repeated request is the same request."""
        digest = hashlib.sha256()
        for part in (
            self.method,
            self.url,
            *(f"{name}:{self.headers[name]}" for name in sorted(self.headers)),
        ):
            digest.update(part.encode())
            digest.update(b"\n")
        digest.update(self.body)
        return digest.digest()


class Adapter(Protocol):
    """One connection to one target system, shared by all deliveries of a flow."""

    def supports(self, event_type: str) -> bool:
        """Say whether there is an operation for this event type. Asked before anything runs."""
        ...

    def recovery(self, event_type: str) -> RecoveryStrategy:
        """Return how an unknown outcome of this event type's operation is resolved."""
        ...

    def render(self, delivery: Delivery) -> Request:
        """Return the call for a delivery.

        Raises:
            MappingError: the document lacks something that the call needs.
        """
        ...

    async def send(self, request: Request, *, traceparent: str | None) -> Receipt:
        """Send one request once and say how it ended; never raises for anything the target does."""
        ...

    async def close(self) -> None:
        """Release the connections."""
        ...
