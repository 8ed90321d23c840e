"""Database and broker as the relay needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from outbox.model.cursor import Batch, Cursor, Lead, Page
from outbox.model.envelope import Envelope, RefusedEvent
from outbox.relay.guard import GuardSession, WitnessKeeper
from outbox.relay.lease import LeaseSession


class Session(LeaseSession, GuardSession, Protocol):
    """The database as the relay needs it. One session holds the lead, another reads and saves."""

    async def try_lead(self) -> Lead | None:
        """Take the lead, None: another relay has it."""
        ...

    async def begin_batch(self, cursor: Cursor) -> Batch:
        """Return what has become visible."""
        ...

    async def read_page(self, cursor: Cursor, batch: Batch, after: int) -> Page:
        """Return the next events of the batch."""
        ...

    async def save(self, lead: Lead, cursor: Cursor) -> None:
        """Save the cursor."""
        ...

    async def reject(self, event: RefusedEvent) -> None:
        """Record an event that cannot become a message."""
        ...

    async def waiting(self, count_up_to: int) -> tuple[int, float]:
        """Return how many events wait, bounded, and the age of the oldest in seconds."""
        ...


class Store(Protocol):
    """Opens sessions on one stream."""

    @property
    def stream(self) -> str:
        """Its name."""
        ...

    @property
    def lease_seconds(self) -> float:
        """After how long a silent leader is replaced."""
        ...

    def session(self) -> AbstractAsyncContextManager[Session]:
        """Open a session."""
        ...


class Publisher(WitnessKeeper, Protocol):
    """The broker as the relay needs it. What is sent is confirmed and stored when a call returns.

    Pages are sent in the order of the calls, also while earlier ones are unconfirmed.
    """

    async def publish(self, events: Sequence[Envelope]) -> Sequence[RefusedEvent]:
        """Send a page; return what the broker will never take."""
        ...

    async def publish_rejected(self, event: RefusedEvent) -> None:
        """Tell of an event that cannot become a message."""
        ...

    async def look_at_unrouted(self) -> None:
        """Count what no queue was bound for."""
        ...


class Contracts(Protocol):
    """What payloads must look like, as the relay needs it. ``deprecated``: versions by type that should not come."""

    @property
    def deprecated(self) -> Mapping[tuple[str, int], str]:
        """Return the dates of deprecated types and versions."""
        ...

    def refusal(self, event: Envelope) -> str | None:
        """Return why an event may not be published, None: it may."""
        ...


class Broker(Protocol):
    """Opens publishers; declares the topology first."""

    def publisher(self) -> AbstractAsyncContextManager[Publisher]:
        """Open a publisher."""
        ...
