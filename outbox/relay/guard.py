"""Lets nothing be published on a server that has lost what was published, and has the broker remember what was.

Costs nothing per event, and one message for each save of the cursor behind which something was published.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from outbox.model.cursor import Lead, Page
from outbox.model.envelope import RefusedEvent
from outbox.model.errors import OutboxError
from outbox.model.guard_events import FailoverSurvived
from outbox.model.lifecycle import Report
from outbox.model.witness import Witness
from outbox.relay.memory import Memory

# A broker that takes nothing must not hold up a stop; it then knows less, which is what a kill would have left as well.
_LAST_TELL_SECONDS = 2.0


class GuardSession(Protocol):
    """The database as the guard needs it."""

    async def verify(self, lead: Lead, witness: Witness | None) -> str | None:
        """Check that what is remembered exists; return the former timeline after a failover."""
        ...


class WitnessKeeper(Protocol):
    """The broker as the guard needs it."""

    async def recall(self, origin: str) -> Witness | None:
        """Return what is remembered, None: nothing."""
        ...

    async def remember(self, origin: str, witness: Witness) -> None:
        """Return when it is stored."""
        ...


class Guard:
    """The guard of one lead."""

    def __init__(
        self, stream: str, lead: Lead, session: GuardSession, keeper: WitnessKeeper, memory: Memory, report: Report
    ) -> None:
        self._stream = stream
        self._lead = lead
        self._session = session
        self._keeper = keeper
        self._memory = memory
        self._report = report

    async def verify(self) -> None:
        """Compare the database with what is remembered as published, before anything else is.

        Raises:
            CursorUncertain: this server has lost transactions, or nobody can tell.
            LeaseLost: another relay leads.
        """
        witness = self._memory.recall(self._lead.origin, await self._keeper.recall(self._lead.origin))
        if witness is not None:
            # First, so that a rebase hears from the broker what only this process knows.
            await self.tell()
        timeline_before = await self._session.verify(self._lead, witness)
        if witness is None:
            await self.tell()
        elif timeline_before is not None:
            self._report(FailoverSurvived(self._stream, timeline_before, len(witness.published)))

    def note(self, page: Page, refused: Sequence[RefusedEvent]) -> None:
        """Remember a page that the broker has confirmed, without what it has refused."""
        self._memory.note(self._lead.epoch, page, refused)

    async def tell(self) -> None:
        """Have the broker remember what it does not know yet; one call at a time."""
        if self._memory.has_news:
            # First: what is noted while the broker is being told is news again. If it fails, the next lead compares.
            self._memory.has_news = False
            await self._keeper.remember(self._lead.origin, self._memory.witness())

    async def tell_at_the_end(self) -> None:
        """Do the same when stopping, if the broker takes it at once."""
        with suppress(TimeoutError, OutboxError):
            async with asyncio.timeout(_LAST_TELL_SECONDS):
                await self.tell()
