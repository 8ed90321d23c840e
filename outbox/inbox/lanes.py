"""Holding a flow's lanes: leases by the database's clock, renewed well before they end, shared fairly."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from outbox.model.inbox import HeldLanes
from outbox.model.lifecycle import LanesChanged, Report
from outbox.supervisor import Stop

# Two renewals may be lost before a lease ends.
_RENEWALS_PER_LEASE = 3
# How often is looked whether a lane that is to be given back has become idle.
_LEAVING_SECONDS = 0.1


class LaneSession(Protocol):
    """The inbox as the lane holder needs it."""

    async def hold_lanes(self, owner: str, lease_seconds: float) -> HeldLanes:
        """Renew, and take free lanes up to the fair share."""
        ...

    async def release_lanes(self, owner: str, lanes: Iterable[int]) -> int:
        """Give idle lanes back; return how many."""
        ...

    async def abandon_lanes(self, former_owner: str) -> None:
        """Let the leases of an earlier run expire at once."""
        ...


class Ownership:
    """Who this process is for one flow. A new name for each run: what an earlier run had under way is in doubt."""

    def __init__(self, process: str) -> None:
        self._process = process
        self.owner = ""
        self.former_owner = ""

    def renew(self) -> None:
        """Take a new name."""
        self.former_owner, self.owner = self.owner, f"{self._process}/{uuid.uuid4().hex[:12]}"


class LaneHolder:
    """Keeps one flow's leases alive while its calls run."""

    def __init__(self, flow: str, ownership: Ownership, lease_seconds: float, report: Report) -> None:
        self._flow = flow
        self._ownership = ownership
        self._lease_seconds = lease_seconds
        self._report = report
        self._held: HeldLanes | None = None
        # To be given back as soon as nothing is under way in them; until then nothing new is begun there.
        self.leaving: frozenset[int] = frozenset()

    def held(self) -> int:
        """Return how many lanes this process holds."""
        return 0 if self._held is None else len(self._held.epochs)

    def epochs(self) -> frozenset[tuple[int, int]]:
        """Return the lanes in which something may be begun, with the epochs by which they are held."""
        held = {} if self._held is None else self._held.epochs
        return frozenset((lane, epoch) for lane, epoch in held.items() if lane not in self.leaving)

    async def start(self, session: LaneSession) -> None:
        """Begin a run: let the leases of the one before expire, and take the first lanes."""
        self._ownership.renew()
        if self._ownership.former_owner:
            await session.abandon_lanes(self._ownership.former_owner)
        await self._renew(session)

    async def keep(self, session: LaneSession, done: Stop, busy_lanes: Callable[[], Collection[int]]) -> None:
        """Renew until ``done``, giving lanes beyond the fair share back when they are idle; then release all."""
        while not done.is_set():
            await done.pause(_LEAVING_SECONDS if self.leaving else self._lease_seconds / _RENEWALS_PER_LEASE)
            held = await self._renew(session)
            surplus = max(len(held.epochs) - held.fair_share, 0)
            self.leaving = frozenset(sorted(held.epochs, reverse=True)[:surplus])
            idle = self.leaving.difference(busy_lanes())
            if idle:
                await session.release_lanes(self._ownership.owner, sorted(idle))
        if self._held is not None:
            await session.release_lanes(self._ownership.owner, self._held.epochs)

    async def _renew(self, session: LaneSession) -> HeldLanes:
        held = await session.hold_lanes(self._ownership.owner, self._lease_seconds)
        if self._held is None or held.epochs != self._held.epochs:
            self._report(LanesChanged(self._flow, len(held.epochs), held.fair_share, held.taken, held.in_doubt))
        self._held = held
        return held
