"""Applies events again: looks for them, puts them into the inbox step by step, shows what was done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from outbox.model.replay import Horizon, ReplayEntry, ReplayProgress, Selection
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors

# Events that one statement looks at: enough to be cheap for each, few enough to be nobody's long transaction.
_LOOKED_AT = 5_000


@dataclass(frozen=True, slots=True)
class Candidates:
    """What one look has found. ``by_type``: type to number. ``upto``: the id looked up to; None: the end."""

    by_type: dict[str, int]
    looked_at: int
    upto: int | None


class ReplaySession:
    """One connection for a replay."""

    def __init__(self, connection: Connection, server: str) -> None:
        self._connection = connection
        self._server = server

    async def horizon(self) -> Horizon:
        """Return the oldest event that can be replayed."""
        with postgres_errors(self._server):
            row = await self._connection.fetchrow("select * from inbox.replay_horizon()")
        return Horizon(None, False) if row is None else Horizon(row["oldest"], bool(row["is_shortened"]))

    async def candidates(self, selection: Selection, after: int) -> Candidates:
        """Look at the next events behind ``after``, and count those that would be replayed."""
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select type, count(id) as events, max(looked_up_to) as upto, max(looked_at) as looked_at"
                " from inbox.replayable($1, $2, $3, $4, $5, $6, $7, 9223372036854775807, $8) group by type",
                *_arguments(selection),
                after,
                _LOOKED_AT,
            )
        if not rows:
            return Candidates({}, 0, None)
        return Candidates(
            {row["type"]: row["events"] for row in rows if row["events"]}, rows[0]["looked_at"], rows[0]["upto"]
        )

    async def begin(self, selection: Selection, *, who: str, why: str) -> int:
        """Write the replay down; return its number.

        Raises:
            Misconfigured: another one of this flow is running.
        """
        with postgres_errors(self._server):
            number: int = await self._connection.fetchval(
                "select inbox.begin_replay($1, $2, $3, $4, $5, $6, $7, $8)", *_arguments(selection), who, why
            )
        return number

    async def step(self, number: int, most_replayed: int) -> ReplayProgress:
        """Go on for a step. Killed anywhere, it has happened as a whole or not at all."""
        with postgres_errors(self._server):
            row = await self._connection.fetchrow(
                "select * from inbox.replay_some($1, $2, $3)", number, _LOOKED_AT, most_replayed
            )
        if row is None:
            raise LookupError("inbox.replay_some returned no row")
        return ReplayProgress(row["state"], row["looked_at"], row["replayed"])

    async def cancel(self, number: int) -> str:
        """End it between two steps; return the state that it is in now."""
        with postgres_errors(self._server):
            state: str = await self._connection.fetchval("select inbox.cancel_replay($1)", number)
        return state

    async def entries(self, most: int) -> list[ReplayEntry]:
        """Return the newest replays."""
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select id, flow, state, who, why, started_at::text, ended_at::text, missing_only, looked_at, replayed"
                " from inbox.replay order by id desc limit $1",
                most,
            )
        return [ReplayEntry(**dict(row)) for row in rows]


def _arguments(selection: Selection) -> tuple[object, ...]:
    return (
        selection.flow,
        list(selection.patterns),
        selection.key,
        selection.since,
        selection.until,
        selection.missing_only,
    )


@asynccontextmanager
async def replay_session(server: PostgresServer) -> AsyncIterator[ReplaySession]:
    """Open a connection for the length of the block."""
    async with connect(server) as connection:
        yield ReplaySession(connection, str(server))
