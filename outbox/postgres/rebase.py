"""Looks at a cursor that may not belong to this server, and makes it belong."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from outbox.model.errors import Misconfigured
from outbox.model.rebase import Choice, CursorHome, Rebased, RebasePlan, Recollection
from outbox.model.witness import Witness
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors
from outbox.postgres.lanes import read_origin
from outbox.supervisor import Stop

# Counts are exact, whatever the size of the table.
_COUNT_SECONDS = 600.0
_NEEDS = "grant outbox_relay to this user"
# A relay that refuses this server looks at it again and again, and leads for a moment each time.
_TRIES = 10
_REST_SECONDS = 0.3


class RebaseSession:
    """One connection for both looks, and for the change."""

    def __init__(self, connection: Connection, server: str, stream: str) -> None:
        self._connection = connection
        self._server = server
        self._stream = stream

    async def origin(self) -> tuple[str | None, int]:
        """See `read_origin`."""
        return await read_origin(self._connection, self._server, self._stream)

    async def compare(self, witness: Witness | None) -> Recollection:
        """Say what of the remembered events does not exist here."""
        if witness is None:
            return Recollection()
        with postgres_errors(self._server, needs=_NEEDS):
            lost = await self._connection.fetch(
                "select sequence from outbox.lost_events($1, $2, $3, $4::text[]::uuid[])",
                self._stream,
                [one.epoch for one in witness.published],
                [one.sequence for one in witness.published],
                [one.message_id for one in witness.published],
            )
        return Recollection(
            len(witness.published),
            witness.highest_sequence(),
            len(lost),
            lost[0]["sequence"] if lost else None,
            lost[-1]["sequence"] if lost else None,
        )

    async def home(self, recollection: Recollection) -> CursorHome:
        """Return what the guard looks at, at constant cost; changes nothing."""
        with postgres_errors(self._server, needs=_NEEDS):
            row = await self._connection.fetchrow("select * from outbox.cursor_home($1)", self._stream)
        if row is None:
            raise LookupError("outbox.cursor_home returned no row")
        facts = dict(row)
        facts["origin"] = None if facts["origin"] is None else str(facts["origin"])
        return CursorHome(recollection=recollection, **facts)

    async def plan(self, choice: Choice, recollection: Recollection) -> RebasePlan:
        """Return everything that a person wants to know; changes nothing."""
        with postgres_errors(self._server, needs=_NEEDS):
            row = await self._connection.fetchrow(
                "select * from outbox.rebase_plan($1, $2, $3, $4)",
                self._stream,
                choice.range.value,
                choice.from_sequence,
                choice.since,
                timeout=_COUNT_SECONDS,
            )
        if row is None:
            raise LookupError("outbox.rebase_plan returned no row")
        facts = dict(row)
        facts["origin"] = None if facts["origin"] is None else str(facts["origin"])
        facts["chosen_types"] = json.loads(facts["chosen_types"])
        return RebasePlan(recollection=recollection, **facts)

    async def rebase(self, choice: Choice, *, published_up_to: int | None, reason: str) -> Rebased:
        """Move the cursor. Cut off anywhere, it has happened as a whole or not at all.

        Raises:
            Misconfigured: a relay leads.
            Unavailable: a transaction that writes events does not end.
        """
        for _ in range(_TRIES - 1):
            try:
                return await self._rebase(choice, published_up_to, reason)
            except Misconfigured:
                await Stop().pause(_REST_SECONDS)
        return await self._rebase(choice, published_up_to, reason)

    async def _rebase(self, choice: Choice, published_up_to: int | None, reason: str) -> Rebased:
        with postgres_errors(self._server, needs=_NEEDS):
            # By itself: what follows may take seconds, and keeps no writer waiting.
            async with self._connection.transaction(isolation="read_committed"):
                parted = await self._connection.fetchrow("select * from outbox.rebase_boundary($1)", published_up_to)
            if parted is None:
                raise LookupError("outbox.rebase_boundary returned no row")
            row = await self._connection.fetchrow(
                "select * from outbox.rebase($1, $2, $3, $4, $5, $6::text::pg_snapshot, $7, $8, $9)",
                self._stream,
                choice.range.value,
                choice.from_sequence,
                choice.since,
                parted["horizon"],
                parted["boundary"],
                parted["sequence_before"],
                parted["sequence_after"],
                reason,
                timeout=_COUNT_SECONDS,
            )
        if row is None:
            raise LookupError("outbox.rebase returned no row")
        return Rebased(row["epoch"], row["first_sequence"], parted["horizon"], parted["sequence_after"])


@asynccontextmanager
async def rebase_session(server: PostgresServer, stream: str) -> AsyncIterator[RebaseSession]:
    """Connect for the length of the block."""
    async with connect(server) as connection:
        yield RebaseSession(connection, str(server), stream)
