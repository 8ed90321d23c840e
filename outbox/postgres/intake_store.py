"""The intake's side of the database: one line of Python for each SQL function."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import asyncpg

from outbox.model.errors import EventRefused
from outbox.model.intake import Draft, RefusedNote, RefusedRow, Taken, TakenState
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors

_NEEDS = "grant outbox_intake to this user"
# No row is looked at.
_REHEARSAL_SECONDS = 10.0


class IntakeSession:
    """One connection for one loop."""

    def __init__(self, connection: Connection, server: str) -> None:
        self._connection = connection
        self._server = server

    async def take(self, drafts: Sequence[Draft], within_seconds: float) -> list[Taken]:
        """Take all of them in one transaction. When this returns, what is new is committed.

        Raises:
            EventRefused: the outbox cannot hold one of them; none was taken.
            Unavailable: nobody knows whether they were taken; what comes again is known, or it is not.
        """
        with postgres_errors(self._server, needs=_NEEDS):
            try:
                rows = await self._connection.fetch(
                    "select * from intake.take($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                    [draft.source for draft in drafts],
                    [draft.name for draft in drafts],
                    [draft.body_sha256 for draft in drafts],
                    [draft.type for draft in drafts],
                    [draft.version for draft in drafts],
                    [draft.key for draft in drafts],
                    [draft.payload for draft in drafts],
                    [draft.headers for draft in drafts],
                    [draft.signed_at_seconds for draft in drafts],
                    [draft.window_seconds for draft in drafts],
                    [draft.remember_seconds for draft in drafts],
                    [draft.is_command for draft in drafts],
                    timeout=within_seconds,
                )
            except asyncpg.CheckViolationError as error:
                # No `from`: the cause holds the row.
                raise EventRefused(f"it breaks the rule {error.constraint_name}") from None
            except (asyncpg.DataError, asyncpg.StatementTooComplexError) as error:
                raise EventRefused(f"PostgreSQL cannot store it ({error.sqlstate})") from None
        return [Taken(TakenState(row["state"]), _text(row["event_id"])) for row in rows]

    async def note_refused(self, notes: Sequence[RefusedNote]) -> None:
        """Note requests that were refused."""
        with postgres_errors(self._server, needs=_NEEDS):
            await self._connection.execute(
                "select intake.note_refused($1, $2, $3, $4, $5, $6, $7, $8)",
                [note.source for note in notes],
                [note.reason for note in notes],
                [note.status for note in notes],
                [note.requests for note in notes],
                [note.body_bytes for note in notes],
                [note.remote for note in notes],
                [note.detail for note in notes],
                [",".join(note.header_names) for note in notes],
            )

    async def prune_received(self, most: int) -> int:
        """Forget some names whose time is over; return how many."""
        with postgres_errors(self._server, needs=_NEEDS):
            return int(await self._connection.fetchval("select intake.prune_received($1)", most))

    async def prune_refused(self, keep_rows: int, keep_seconds: float, most: int) -> int:
        """Remove some of the oldest refused requests; return how many."""
        keep = timedelta(seconds=keep_seconds)
        with postgres_errors(self._server, needs=_NEEDS):
            return int(
                await self._connection.fetchval("select intake.prune_refused($1, $2, $3)", keep_rows, keep, most)
            )

    async def rehearse(self) -> None:
        """Call all of them with nothing to do: changes nothing, and tells whoever may not.

        Raises:
            AccessRefused: this user is not granted what the intake needs.
        """
        await self.take([], _REHEARSAL_SECONDS)
        await self.note_refused([])
        await self.prune_received(0)
        await self.prune_refused(0, 0, 0)

    async def ping(self, within_seconds: float) -> None:
        """Look whether the connection still answers."""
        with postgres_errors(self._server):
            await self._connection.execute("select 1", timeout=within_seconds)


class IntakeStore:
    """Opens sessions."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    @asynccontextmanager
    async def session(self) -> AsyncIterator[IntakeSession]:
        """Open a connection for the length of the block."""
        async with connect(self._server) as connection:
            yield IntakeSession(connection, str(self._server))


async def find_refused(
    server: PostgresServer, *, source: str | None, since: datetime | None, reason: str | None, most: int
) -> list[RefusedRow]:
    """Return refused requests, newest first.

    Raises:
        Unavailable, AccessRefused, Misconfigured: the database cannot tell.
    """
    async with connect(server) as connection:
        with postgres_errors(str(server), needs=_NEEDS):
            rows = await connection.fetch(
                "select refused_at, source, reason, status, requests, body_bytes, remote, detail, header_names"
                " from intake.find_refused($1, $2, $3, $4)",
                source,
                since,
                reason,
                most,
            )
    return [RefusedRow(**dict(row) | {"refused_at": row["refused_at"].isoformat()}) for row in rows]


async def database_time(server: PostgresServer) -> datetime:
    """Return what time it is for the database.

    Raises:
        Unavailable, AccessRefused, Misconfigured: the database cannot tell.
    """
    async with connect(server) as connection:
        with postgres_errors(str(server)):
            now: datetime = await connection.fetchval("select now()")
    return now


def _text(event_id: object) -> str | None:
    return None if event_id is None else str(event_id)
