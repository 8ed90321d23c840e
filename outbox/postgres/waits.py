"""Deliveries that wait for ids of other systems: one line of Python for each SQL function."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from outbox.model.awaited import Look, LookAgain, Waiting, from_json, to_json
from outbox.model.creating import Request, Standing
from outbox.postgres.errors import postgres_errors
from outbox.postgres.references import ReferenceReads

# Of what a flow never had, the newest events are looked through, once for each record: some hundred milliseconds.
_SEARCHED_EVENTS = 100_000


class WaitCalls(ReferenceReads):
    """What a session does with those that wait."""

    _flow: str

    async def wait(self, owner: str, waitings: Sequence[Waiting]) -> set[int]:
        """Let deliveries wait; return those that do."""
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select id from inbox.wait($1, $2, $3::bigint[], $4::bigint[], $5::float8[], $6::float8[], $7, $8) id",
                self._flow,
                owner,
                [one.id for one in waitings],
                [one.epoch for one in waitings],
                [one.pause_seconds for one in waitings],
                [one.within_seconds for one in waitings],
                [to_json(one.awaited) for one in waitings],
                [one.reason for one in waitings],
            )
        return {row["id"] for row in rows}

    async def waits(self, owner: str, most: int, reach_seconds: float | None = None) -> list[Look]:
        """Return what waits and is to be looked at again, no more than so many, and so far back (None: all)."""
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select * from inbox.waits($1, $2, $3, $4)", self._flow, owner, most, reach_seconds
            )
        return [
            Look(
                row["id"],
                row["epoch"],
                row["message_id"],
                row["sequence"],
                row["waited_seconds"],
                row["left_seconds"],
                row["reason"],
                from_json(row["missing"]),
                row["due_seconds"],
            )
            for row in rows
        ]

    async def look_again(self, owner: str, looks: Sequence[LookAgain]) -> set[int]:
        """End looks; return those of which that holds."""
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select id from inbox.look_again($1, $2, $3::bigint[], $4::bigint[], $5::float8[], $6) id",
                self._flow,
                owner,
                [one.id for one in looks],
                [one.epoch for one in looks],
                [one.pause_seconds for one in looks],
                [one.reason for one in looks],
            )
        return {row["id"] for row in rows}

    async def create_first(
        self, request: Request, may_search: Sequence[bool], most_waiting: int
    ) -> dict[str, Standing]:
        """Ask a flow for records; return how it stands with each key. See ``inbox.create_first``."""
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select * from inbox.create_first($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                self._flow,
                request.creator.flow,
                request.registry.entity,
                request.registry.system,
                list(request.keys),
                list(may_search),
                list(request.creator.patterns),
                request.creator.on_stale,
                most_waiting,
                _SEARCHED_EVENTS,
            )
        return {row["key"]: Standing(row["standing"]) for row in rows}

    async def end_waits(self, owner: str, lanes: Iterable[int], after_id: int, most: int) -> tuple[int, int | None]:
        """Make due what waits in these lanes, so many behind an id; return how many, and the last id."""
        with postgres_errors(self._server):
            row = await self._connection.fetchrow(
                "select * from inbox.end_waits($1, $2, $3::smallint[], $4, $5)",
                self._flow,
                owner,
                list(lanes),
                after_id,
                most,
            )
        if row is None:
            raise LookupError("inbox.end_waits returned no row")
        return row["ended"], row["last_id"]
