"""The upkeep of partitions as the database does it: each step one function and one short transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import asyncpg

from outbox.model.errors import Misconfigured
from outbox.model.partitions import Partition, PartitionState, PartitionStep, Retention, StepTaken
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors

_NEEDS = "grant outbox_relay to this user"


class PartitionSession:
    """One connection for one round of upkeep."""

    def __init__(self, connection: Connection, server: str) -> None:
        self._connection = connection
        self._server = server

    async def take(self, step: PartitionStep, retention: Retention, *, is_dry_run: bool = False) -> list[StepTaken]:
        """Take one step for every partition that it is due for (dropping: for one); a dry run only tells.

        Raises:
            Unavailable: the database is away, or somebody else is at it.
            Misconfigured: a person must act.
        """
        with _upkeep_errors(self._server):
            match step:
                case PartitionStep.CLOSED:
                    rows = await self._connection.fetch("select * from outbox.seal_partitions($1)", is_dry_run)
                case PartitionStep.CREATED:
                    rows = await self._connection.fetch(
                        "select * from outbox.create_partitions($1, $2)", retention.ahead, is_dry_run
                    )
                case PartitionStep.OPENED:
                    every = timedelta(seconds=retention.partition_every_seconds)
                    rows = await self._connection.fetch(
                        "select * from outbox.open_partition($1, $2)", every, is_dry_run
                    )
                case PartitionStep.EMPTIED:
                    keep = timedelta(seconds=retention.keep_seconds)
                    rows = await self._connection.fetch(
                        "select * from outbox.empty_partitions($1, $2)", keep, is_dry_run
                    )
                case PartitionStep.DROPPED:
                    rows = await self._connection.fetch("select * from outbox.drop_partition($1)", is_dry_run)
        return [StepTaken(row["partition"], row["bytes"], row["postponed"]) for row in rows]

    async def forget_emitted(self, retention: Retention, max_keys: int) -> int:
        """Forget idempotency keys as old as the events are kept, at most so many; return how many these were."""
        with _upkeep_errors(self._server):
            keep = timedelta(seconds=retention.keep_seconds)
            return int(await self._connection.fetchval("select outbox.prune_emitted($1, $2)", keep, max_keys))

    async def survey(self) -> list[Partition]:
        """Return every partition in order of its ids, the default one last."""
        with _upkeep_errors(self._server):
            rows = await self._connection.fetch("select * from outbox.partitions()")
        return [
            Partition(
                name=row["partition"],
                number=row["number"],
                low=row["low"],
                high=row["high"],
                state=PartitionState(row["state"]),
                created_at=row["created_at"],
                opened_at=row["opened_at"],
                closed_at=row["closed_at"],
                age_seconds=row["age_seconds"],
                closed_seconds=row["closed_seconds"],
                size_bytes=row["bytes"],
                estimated_rows=row["estimated_rows"],
                is_unknown_to_writers=bool(row["is_unknown_to_writers"]),
            )
            for row in rows
        ]


class PartitionStore:
    """Opens connections for upkeep."""

    def __init__(self, server: PostgresServer, *, stream: str = "outbox.event") -> None:
        self._server = server
        self.stream = stream

    @asynccontextmanager
    async def session(self) -> AsyncIterator[PartitionSession]:
        """Open a connection of its own, apart from the one that publishes."""
        async with connect(self._server) as connection:
            yield PartitionSession(connection, str(self._server))


@contextmanager
def _upkeep_errors(server: str) -> Iterator[None]:
    try:
        with postgres_errors(server, needs=_NEEDS):
            yield
    except asyncpg.PostgresError as error:
        # Changes of structure meet what nobody has foreseen (a table of the same name, a trigger of the owner's).
        # Publishing goes on whatever it is.
        raise Misconfigured(
            f"{server}: the partitions of outbox.event cannot be kept up ({error.sqlstate} {error.args[0]})",
            'put right what the message names; "outbox partitions maintain" tries again at once',
        ) from error
