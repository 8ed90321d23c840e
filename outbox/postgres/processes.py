"""Which processes run, by which settings: each tells it, and status reads it."""

from __future__ import annotations

from dataclasses import dataclass

from outbox.postgres.connection import PostgresServer, connect
from outbox.postgres.errors import postgres_errors


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process. ``refusal``: why newer settings are not in effect."""

    name: str
    program: str
    settings_hash: str
    settings_age_seconds: float
    refusal: str | None
    refused_age_seconds: float | None


class ProcessStore:
    """Opens a connection for each word: one in half a minute is not worth an open one."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    async def tell(
        self, name: str, program: str, settings_hash: str, refusal: str | None, *, lease_seconds: float
    ) -> None:
        """Say that a process runs, and how.

        Raises:
            Unavailable, AccessRefused, Misconfigured: the database does not take it.
        """
        async with connect(self._server) as connection:
            with postgres_errors(str(self._server)):
                await connection.execute(
                    "select outbox.tell_process($1, $2, $3, $4, $5)",
                    name,
                    program,
                    settings_hash,
                    refusal,
                    lease_seconds,
                )

    async def forget(self, name: str) -> None:
        """Say that a process ends. Raises the same."""
        async with connect(self._server) as connection:
            with postgres_errors(str(self._server)):
                await connection.execute("select outbox.forget_process($1)", name)


async def read_processes(server: PostgresServer) -> list[ProcessStatus]:
    """Return the processes that run. Raises the same."""
    async with connect(server) as connection:
        with postgres_errors(str(server)):
            rows = await connection.fetch(
                "select name, program, settings_hash, settings_age_seconds, refusal, refused_age_seconds"
                " from outbox.processes()"
            )
    return [ProcessStatus(**dict(row)) for row in rows]
