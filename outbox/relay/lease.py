"""Keeps the lead while a relay lives: renewed beside the work, however long the broker takes to confirm.

What is renewed from the loop that publishes stops when that loop is frozen or cut off from the database. The lease is
the database's; nothing here compares clocks. A leader that gets no answer gives up before its lease has run out, so
two relays publish at once only when one was frozen. Even then the epoch keeps the cursor, and the wire sees repeats.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from outbox.model.cursor import Lead
from outbox.supervisor import Stop

# A renewal may wait half a lease for its answer: with this, silence is noticed at three quarters of it.
_RENEWALS_PER_LEASE = 4


class LeaseSession(Protocol):
    """The session that took the lead, and nobody else uses meanwhile."""

    async def renew(self, lead: Lead) -> None:
        """Say that the leader is alive; bounded by half a lease."""
        ...


@asynccontextmanager
async def held(session: LeaseSession, lead: Lead, lease_seconds: float) -> AsyncIterator[None]:
    """Renew the lead for the length of the block; the block is cancelled when the lead is lost.

    Raises:
        ExceptionGroup: of what the block or the renewal raised.
    """
    is_over = Stop()
    async with asyncio.TaskGroup() as group:
        group.create_task(_renew(session, lead, lease_seconds / _RENEWALS_PER_LEASE, is_over), name="lease")
        yield
        # A renewal under way ends by itself: the session is closed in order, and the next leader need not wait.
        is_over.set()


async def _renew(session: LeaseSession, lead: Lead, every_seconds: float, is_over: Stop) -> None:
    await is_over.pause(every_seconds)
    while not is_over.is_set():
        await session.renew(lead)
        await is_over.pause(every_seconds)
