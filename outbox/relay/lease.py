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

# Renewed every quarter, and given up at three quarters without an answer, counted from when the last one was sent.
_QUARTERS = 4


class LeaseSession(Protocol):
    """The session that took the lead, and nobody else uses meanwhile."""

    async def renew(self, lead: Lead, *, within_seconds: float) -> None:
        """Say that the leader is alive."""
        ...


@asynccontextmanager
async def held(session: LeaseSession, lead: Lead, lease_seconds: float) -> AsyncIterator[None]:
    """Renew the lead for the length of the block; the block is cancelled when the lead is lost.

    Raises:
        ExceptionGroup: of what the block or the renewal raised.
    """
    is_over = Stop()
    async with asyncio.TaskGroup() as group:
        group.create_task(_renew(session, lead, lease_seconds / _QUARTERS, is_over), name="lease")
        yield
        # A renewal under way ends by itself: the session is closed in order, and the next leader need not wait.
        is_over.set()


async def _renew(session: LeaseSession, lead: Lead, quarter_seconds: float, is_over: Stop) -> None:
    clock = asyncio.get_running_loop().time
    # Taking the lead may have waited half a lease for its answer.
    deadline = clock() + quarter_seconds
    while not is_over.is_set():
        sent_at = clock()
        # Less than a quarter is left only after a freeze: then there is one question, whether somebody else leads.
        await session.renew(lead, within_seconds=max(deadline - sent_at, quarter_seconds))
        deadline = sent_at + (_QUARTERS - 1) * quarter_seconds
        await is_over.pause(sent_at + quarter_seconds - clock())
