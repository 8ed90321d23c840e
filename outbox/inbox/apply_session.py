"""The database as the applier needs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from outbox.inbox.circuit import CircuitSession
from outbox.inbox.lanes import LaneSession
from outbox.inbox.references import ReferenceSession
from outbox.inbox.waits import WaitSession
from outbox.inbox.watch import WatchSession
from outbox.model.inbox import Beginning, DueDelivery, Parking, Result
from outbox.model.xref import LinkVerdict


class ApplySession(LaneSession, CircuitSession, WatchSession, ReferenceSession, WaitSession, Protocol):
    """The inbox of one flow, over one connection. Everything raises Unavailable when the database is away."""

    async def register(self, lanes: int) -> int:
        """Create the flow's lanes once; return how many it has."""
        ...

    async def fetch(
        self,
        owner: str,
        in_hand: Iterable[int],
        wanted: int,
        *,
        leaving: Iterable[int],
        newest_first: bool,
        reach_seconds: float | None,
    ) -> list[DueDelivery]:
        """Read what may be acted on now."""
        ...

    async def begin(self, owner: str, beginnings: Sequence[Beginning]) -> dict[int, int]:
        """Write "applying"; return the attempt number of each delivery that may now be called."""
        ...

    async def settle(self, owner: str, results: Sequence[Result]) -> Mapping[int, LinkVerdict | None]:
        """End attempts; return the deliveries that were settled, and what became of their links."""
        ...

    async def park(self, owner: str, parkings: Sequence[Parking]) -> set[int]:
        """Park deliveries without a call; return those that were parked."""
        ...


class ApplyStore(Protocol):
    """Opens sessions."""

    def session(self, flow: str) -> AbstractAsyncContextManager[ApplySession]:
        """Open a connection of its own for the length of the block."""
        ...
