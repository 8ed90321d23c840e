"""The processes that share the lanes, as the database knows them: one session each, and one row."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from outbox.model.lanes import Member
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors
from outbox.postgres.migrate import LOCK_CLASS


class LaneSession:
    """One process among those that share the lanes, for as long as this session lives."""

    def __init__(
        self, connection: Connection, server: str, stream: str, *, lanes: int, lease_seconds: float, name: str
    ) -> None:
        self._connection = connection
        self._server = server
        self._stream = stream
        self._lanes = lanes
        self._lease_seconds = lease_seconds
        self.name = name

    async def join(self) -> None:
        """Become one of those that share the lanes.

        Raises:
            LeaseLost: the name is taken; the next one is not.
        """
        with postgres_errors(self._server):
            await self._connection.execute(
                "select outbox.join_relays($1, $2, $3)", self.name, LOCK_CLASS, self._lease_seconds
            )

    async def share(self, held: int, *, is_open: bool) -> list[Member]:
        """Say how many lanes this process holds and whether it takes more; return all that live.

        Raises:
            LeaseLost: it was silent for so long that the others count it as gone.
        """
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select * from outbox.share_lanes($1, $2, $3, $4, $5)",
                self.name,
                held,
                is_open,
                LOCK_CLASS,
                self._lease_seconds,
                timeout=self._lease_seconds / 2,
            )
        return [Member(row["name"], row["held"], row["is_open"]) for row in rows]

    async def free_lanes(self) -> list[int]:
        """Return the lanes that nobody leads, in order.

        Raises:
            SettingsOutdated: the number of lanes is another one.
        """
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select lane from outbox.free_lanes($1, $2, $3)",
                self._stream,
                self._lanes,
                LOCK_CLASS,
                timeout=self._lease_seconds / 2,
            )
        return [row["lane"] for row in rows]


class LaneStore:
    """Opens sessions that share the lanes of one stream."""

    def __init__(self, server: PostgresServer, *, stream: str, lanes: int, lease_seconds: float) -> None:
        self._server = server
        self._lanes = lanes
        self._lease_seconds = lease_seconds
        self.stream = stream

    @asynccontextmanager
    async def session(self) -> AsyncIterator[LaneSession]:
        """Open a session under a name that nobody has had."""
        name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        async with connect(self._server, needs_session=True) as connection:
            yield LaneSession(
                connection,
                str(self._server),
                self.stream,
                lanes=self._lanes,
                lease_seconds=self._lease_seconds,
                name=name,
            )
