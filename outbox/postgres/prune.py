"""The inbox's memory in the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors


class PruneSession:
    """One connection for one round."""

    def __init__(self, connection: Connection, server: str) -> None:
        self._connection = connection
        self._server = server

    async def prune(self, keep_seconds: float, after: int, most: int) -> tuple[int, int | None]:
        """Forget some finished deliveries; return how many, and up to which id it has looked (None: the end)."""
        with postgres_errors(self._server):
            row = await self._connection.fetchrow("select * from inbox.prune($1, $2, $3)", keep_seconds, after, most)
        if row is None:
            raise LookupError("inbox.prune returned no row")
        return row["pruned"], row["upto"]


class PruneStore:
    """Opens a connection for each round: one a minute is not worth an open one."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    @asynccontextmanager
    async def session(self) -> AsyncIterator[PruneSession]:
        """Open a connection for the length of the block."""
        async with connect(self._server) as connection:
            yield PruneSession(connection, str(self._server))
