"""Applies events again: looks for them, puts them into the inbox step by step, shows what was done."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg

from outbox.model.circuit import CircuitState
from outbox.model.replay import Horizon, ReplayDecision, ReplayEntry, ReplayProgress, Selection
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors

# Events that one statement looks at: enough to be cheap for each, few enough that calls hardly wait for it.
_LOOKED_AT = 1_000
_CANDIDATES = """
select type, left_out, count(id) as events, count(id) filter (where is_edited) as edited, max(looked_up_to) as upto,
       max(looked_at) as looked_at
  from inbox.replayable($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 9223372036854775807, $11)
 group by type, left_out
"""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What one look has found. ``by_type``: type to number. ``upto``: the id looked up to; None: the end.

    ``edited``: of them, those that are applied as they were edited. ``left_out``: why to number.
    """

    by_type: dict[str, int]
    looked_at: int
    upto: int | None
    edited: int = 0
    left_out: dict[str, int] = field(default_factory=dict)


class ReplaySession:
    """One connection for a replay."""

    def __init__(self, connection: Connection, server: str, remembered_seconds: float) -> None:
        self._connection = connection
        self._server = server
        self._remembered_seconds = remembered_seconds

    async def horizon(self) -> Horizon:
        """Return the oldest event that can be replayed, and since when the inbox remembers what it had."""
        with postgres_errors(self._server):
            row = await self._connection.fetchrow("select * from inbox.replay_horizon($1)", self._remembered_seconds)
        if row is None:
            raise LookupError("inbox.replay_horizon returned no row")
        return Horizon(row["oldest"], bool(row["is_shortened"]), row["remembered_from"])

    async def candidates(self, selection: Selection, after: int) -> Candidates:
        """Look at the next events behind ``after``, and count those that would be replayed."""
        with postgres_errors(self._server):
            rows = await self._connection.fetch(_CANDIDATES, *_arguments(selection), after, _LOOKED_AT)
        if not rows:
            return Candidates({}, 0, None)
        taken = [row for row in rows if row["events"] and row["left_out"] is None]
        left_out: Counter[str] = Counter()
        for row in rows:
            if row["left_out"] is not None:
                left_out[row["left_out"]] += row["events"]
        return Candidates(
            {row["type"]: row["events"] for row in taken},
            rows[0]["looked_at"],
            rows[0]["upto"],
            sum(row["edited"] for row in taken),
            dict(left_out),
        )

    async def begin(self, selection: Selection, *, who: str, why: str, rate_per_s: float | None = None) -> int:
        """Write the replay down; return its number.

        Raises:
            Misconfigured: another one of this flow is running.
        """
        with postgres_errors(self._server):
            number: int = await self._connection.fetchval(
                "select inbox.begin_replay($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                *_arguments(selection),
                rate_per_s,
                who,
                why,
            )
        return number

    async def resume(self, number: int, *, who: str, rate_per_s: float | None = None) -> tuple[float | None, int]:
        """Write down who goes on; return the rate, which is the kept one if none is given, and what is replayed."""
        with postgres_errors(self._server):
            row = await self._connection.fetchrow(
                "select * from inbox.resume_replay($1, $2, $3)", number, rate_per_s, who
            )
        if row is None:
            raise LookupError("inbox.resume_replay returned no row")
        return row["rate_per_s"], row["replayed"]

    async def step(self, number: int, most_replayed: int, most_waiting: int) -> ReplayProgress:
        """Go on for a step, unless so many wait for a call. Killed anywhere, it has happened wholly or not at all.

        Raises:
            Misconfigured: what it had not looked at yet is gone or, of what is missing, forgotten.
        """
        with postgres_errors(self._server):
            row = await self._connection.fetchrow(
                "select * from inbox.replay_some($1, $2, $3, $4, $5)",
                number,
                _LOOKED_AT,
                most_replayed,
                most_waiting,
                self._remembered_seconds,
            )
        return _progress(row)

    async def cancel(self, number: int, *, who: str, why: str) -> ReplayProgress:
        """End it between two steps; return how it stands now."""
        with postgres_errors(self._server):
            row = await self._connection.fetchrow(
                "select *, false as is_waiting from inbox.cancel_replay($1, $2, $3)", number, who, why
            )
        return _progress(row)

    async def circuit(self, number: int) -> CircuitState:
        """Return whether the target of a replay's flow is called."""
        with postgres_errors(self._server):
            state: str | None = await self._connection.fetchval(
                "select c.state from inbox.replay r join inbox.circuit c on c.flow = r.flow where r.id = $1", number
            )
        return CircuitState(state or CircuitState.CLOSED)

    async def entries(self, most: int) -> list[ReplayEntry]:
        """Return the newest replays."""
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select id, flow, state, who, why, started_at::text, ended_at::text, moved_at::text, missing_only,"
                " with_skipped, with_happened, rate_per_s, looked_at, replayed"
                " from inbox.replay order by id desc limit $1",
                most,
            )
            decisions = await self._connection.fetch(
                "select replay_id, action, who, why, decided_at::text from inbox.replay_decision"
                " where replay_id = any ($1::integer[]) order by id",
                [row["id"] for row in rows],
            )
        return [
            ReplayEntry(
                **dict(row),
                decisions=[
                    ReplayDecision(one["action"], one["who"], one["why"], one["decided_at"])
                    for one in decisions
                    if one["replay_id"] == row["id"]
                ],
            )
            for row in rows
        ]


def _arguments(selection: Selection) -> tuple[object, ...]:
    return (
        selection.flow,
        list(selection.patterns),
        selection.key,
        selection.since,
        selection.until,
        selection.missing_only,
        selection.with_skipped,
        selection.with_happened,
        selection.on_stale,
    )


def _progress(row: asyncpg.Record | None) -> ReplayProgress:
    if row is None:
        raise LookupError("a function of replays returned no row")
    return ReplayProgress(row["state"], row["looked_at"], row["replayed"], row["is_waiting"])


@asynccontextmanager
async def replay_session(server: PostgresServer, remembered_seconds: float) -> AsyncIterator[ReplaySession]:
    """Open a connection for the length of the block. ``remembered_seconds``: how long the inbox knows what it had."""
    async with connect(server) as connection:
        yield ReplaySession(connection, str(server), remembered_seconds)
