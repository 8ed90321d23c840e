"""Looks at the lanes of a stream, and changes how many there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from outbox.model.lanes_plan import LanesPlan, LanesSet
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors

# Counts are exact, whatever the size of the backlog.
_COUNT_SECONDS = 600.0
_NEEDS = "grant outbox_relay to this user"


@dataclass(frozen=True, slots=True)
class SharingProcess:
    """A process that shares the lanes, as it has told last."""

    name: str
    lanes_held: int
    takes_more: bool
    silent_for_seconds: float


async def read_origin(connection: Connection, server: str, stream: str) -> tuple[str | None, int]:
    """Return the name under which the broker remembers (None: no relay has ever led), and how many lanes do."""
    with postgres_errors(server, needs=_NEEDS):
        row = await connection.fetchrow(
            "select max(origin::text) as origin, max(lanes) as lanes from outbox.cursor"
            " where split_part(stream, ':', 1) = $1",
            stream,
        )
    return (None, 1) if row is None else (row["origin"], row["lanes"] or 1)


class LanesSession:
    """One connection for looking and for changing."""

    def __init__(self, connection: Connection, server: str, stream: str) -> None:
        self._connection = connection
        self._server = server
        self._stream = stream

    async def origin(self) -> tuple[str | None, int]:
        """See `read_origin`."""
        return await read_origin(self._connection, self._server, self._stream)

    async def processes(self) -> list[SharingProcess]:
        """Return the processes that share the lanes; with one lane, relays do not tell."""
        with postgres_errors(self._server, needs=_NEEDS):
            rows = await self._connection.fetch("select * from outbox.relays()")
        return [SharingProcess(**dict(row)) for row in rows]

    async def plan(self, lanes: int) -> LanesPlan:
        """Return what a change would do; changes nothing.

        Raises:
            Misconfigured: it is refused.
        """
        with postgres_errors(self._server, needs=_NEEDS):
            row = await self._connection.fetchrow(
                "select * from outbox.lanes_plan($1, $2)", self._stream, lanes, timeout=_COUNT_SECONDS
            )
        if row is None:
            raise LookupError("outbox.lanes_plan returned no row")
        return LanesPlan(**dict(row))

    async def set(self, lanes: int) -> LanesSet:
        """Change the number of lanes. Cut off anywhere, it has happened as a whole or not at all.

        Raises:
            Misconfigured: it is refused.
            Unavailable: a leader's transaction does not end.
        """
        with postgres_errors(self._server, needs=_NEEDS):
            row = await self._connection.fetchrow("select * from outbox.set_lanes($1, $2)", self._stream, lanes)
        if row is None:
            raise LookupError("outbox.set_lanes returned no row")
        return LanesSet(**dict(row))


@asynccontextmanager
async def lanes_session(server: PostgresServer, stream: str) -> AsyncIterator[LanesSession]:
    """Connect for the length of the block."""
    async with connect(server) as connection:
        yield LanesSession(connection, str(server), stream)
