"""The operator's side of the inbox: what is parked, its story, and what is decided about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from itertools import groupby

from outbox.model.awaited import awaited_text
from outbox.model.dead_letters import (
    Attempt,
    Decision,
    ParkedDelivery,
    ParkedGroup,
    Resolution,
    Resolved,
    Selection,
    Story,
    Verdict,
)
from outbox.model.delivery import State
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors

# The shown number of deliveries that wait behind one stops here.
COUNT_UP_TO = 10_000
# So many are decided about in one transaction: it holds the rows of their lanes, which consumers need too.
BATCH = 500
_CALLS_SHOWN = 100
# A plan is exact, however much matches: some 30 s for a million.
_COUNT_SECONDS = 600.0

_NOW = "select clock_timestamp()"
_PARKED = "select * from inbox.parked($1, $2, $3, $4, $5, $6, $7, $8, $9)"
_GROUPS = "select * from inbox.parked_groups($1, $2, $3, $4, $5, $6, $7)"
_VERDICTS = """
select inbox.verdict(d, $8, $9, $10, false) as verdict, count(*) as deliveries
  from inbox.parked($1, $2, $3, $4, $5, $6, $7, 0, null) p join inbox.delivery d on d.id = p.id
 group by 1
"""
_VERDICTS_OF = """
select d.id, d.state, inbox.verdict(d, $2, $3, $4, $5) as verdict
  from inbox.delivery d where d.id = any ($1::bigint[]) order by 1
"""
_CALLS = """
select attempt, call, began_at, ended_at, outcome, http_status, external_id, reason
  from inbox.attempt where delivery_id = $1 order by attempt desc limit $2
"""
_RESOLUTIONS = """
select resolved_at, action, who, database_user, why, from_state, to_state, reason, external_id, body_sha256_before,
       body_sha256_after
  from inbox.resolution where delivery_id = $1 order by id
"""
_NEEDS = "grant outbox_adapter to this user"


class DeadLetterSession:
    """One connection for looking and deciding."""

    def __init__(self, connection: Connection, server: str) -> None:
        self._connection = connection
        self._server = server

    async def now(self) -> datetime:
        """Return the database's time."""
        with postgres_errors(self._server):
            time: datetime = await self._connection.fetchval(_NOW)
        return time

    async def parked(self, selection: Selection, *, after: int, wanted: int) -> list[ParkedDelivery]:
        """Return a page in order of id, behind an id."""
        with postgres_errors(self._server, needs=_NEEDS):
            rows = await self._connection.fetch(_PARKED, *_filters(selection), after, wanted)
        return [ParkedDelivery(**dict(row)) for row in rows]

    async def groups(self, selection: Selection) -> list[ParkedGroup]:
        """Return what is parked by cause, the largest group first."""
        with postgres_errors(self._server, needs=_NEEDS):
            rows = await self._connection.fetch(_GROUPS, *_filters(selection), timeout=_COUNT_SECONDS)
        return [ParkedGroup(**dict(row)) for row in rows]

    async def verdicts(self, selection: Selection, decision: Decision) -> Counter[Verdict]:
        """Say what would come of a decision about everything that matches; changes nothing."""
        with postgres_errors(self._server, needs=_NEEDS):
            rows = await self._connection.fetch(
                _VERDICTS,
                *_filters(selection),
                decision.action.value,
                decision.even_stale,
                decision.even_unanswered,
                timeout=_COUNT_SECONDS,
            )
        return Counter({Verdict(row["verdict"]): row["deliveries"] for row in rows})

    async def verdicts_of(self, ids: Sequence[int], decision: Decision) -> list[Resolved]:
        """Say what would come of a decision about these; changes nothing."""
        with postgres_errors(self._server, needs=_NEEDS):
            rows = await self._connection.fetch(
                _VERDICTS_OF,
                list(ids),
                decision.action.value,
                decision.even_stale,
                decision.even_unanswered,
                decision.body is not None,
            )
        return [Resolved(row["id"], Verdict(row["verdict"]), State(row["state"]), None) for row in rows]

    async def stories(self, wanted: str, *, flow: str | None, with_body: bool = False) -> list[Story]:
        """Return what is known of a delivery, by its id or its event's; of an event there is one for each flow."""
        with postgres_errors(self._server, needs=_NEEDS):
            rows = await self._connection.fetch(
                "select * from inbox.story($1, $2, $3, $4)", wanted, flow, with_body, COUNT_UP_TO
            )
            return [
                await self._told(Story(**dict(row) | {"awaits": awaited_text(row["awaits"]) or None})) for row in rows
            ]

    async def resolve(self, flow: str, ids: Sequence[int], decision: Decision) -> list[Resolved]:
        """Carry a decision out in one transaction, with its audit rows; what does not exist is left out."""
        with postgres_errors(self._server, needs=_NEEDS):
            rows = await self._connection.fetch(
                "select * from inbox.resolve($1, $2::bigint[], $3, $4, $5, $6, $7, $8, $9, $10)",
                flow,
                list(ids),
                decision.action.value,
                decision.who,
                decision.why,
                decision.external_id,
                decision.body,
                decision.even_stale,
                decision.rate_per_s,
                decision.even_unanswered,
            )
        return [
            Resolved(
                row["id"],
                Verdict(row["verdict"]),
                State(row["from_state"]),
                None if row["to_state"] is None else State(row["to_state"]),
            )
            for row in rows
        ]

    async def resolve_matching(self, selection: Selection, decision: Decision) -> AsyncIterator[list[Resolved]]:
        """Carry a decision out about everything that matches, batch by batch, each a transaction of its own.

        Cut off anywhere, each batch has happened as a whole or not at all; done again, it goes on with what is left.
        What is parked anew meanwhile is not touched: the ids only grow, and a retried delivery keeps its own.
        """
        after = 0
        while page := await self.parked(selection, after=after, wanted=BATCH):
            after = page[-1].id
            done: list[Resolved] = []
            for flow, members in groupby(sorted(page, key=lambda one: one.flow), key=lambda one: one.flow):
                done += await self.resolve(flow, [one.id for one in members], decision)
            yield done

    async def _told(self, story: Story) -> Story:
        calls = await self._connection.fetch(_CALLS, story.id, _CALLS_SHOWN)
        resolutions = await self._connection.fetch(_RESOLUTIONS, story.id)
        return replace(
            story,
            calls=[Attempt(**dict(row)) for row in reversed(calls)],
            resolutions=[Resolution(**dict(row)) for row in resolutions],
        )


@asynccontextmanager
async def dead_letter_session(server: PostgresServer) -> AsyncIterator[DeadLetterSession]:
    """Connect for the length of the block."""
    async with connect(server) as connection:
        yield DeadLetterSession(connection, str(server))


def _filters(selection: Selection) -> tuple[object, ...]:
    return (
        selection.flow,
        [state.value for state in selection.states],
        selection.type_pattern(),
        selection.group,
        selection.key,
        selection.since,
        selection.until,
    )
