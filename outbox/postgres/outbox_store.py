"""The relay's side of the database: one session that holds the lead, one that reads and saves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from outbox.model.cursor import Batch, Cursor, Lead, Observation, Page, PageLimits
from outbox.model.envelope import RefusedEvent
from outbox.model.lanes import ONLY_LANE, Lane
from outbox.model.witness import Witness
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors
from outbox.postgres.migrate import LOCK_CLASS
from outbox.postgres.page_rows import page_of

# Of what outbox.begin_reading returns; those of a page are behind them.
_BATCH_COLUMNS = 5
# All ids are below.
_EVERYTHING = 2**63 - 1
_ROWS_LOOKED_AT = 20_000
# The first batch over a large backlog reads its whole index range once.
_BEGIN_TIMEOUT_SECONDS = 120.0


class OutboxSession:
    """One session of one relay. The one that took the lead holds its lock: losing it is losing the lead."""

    def __init__(
        self, connection: Connection, server: str, lane: Lane, limits: PageLimits, *, lease_seconds: float
    ) -> None:
        self._connection = connection
        self._server = server
        self._lane = lane
        self._stream = lane.stream
        # The page that came with a batch, and behind which id it was read.
        self._first: tuple[Batch, int, Page] | None = None
        # The batch that was last read from, and up to which id its pages may look; None: to its end.
        self._reach: tuple[Batch, int | None] | None = None
        self._limits = limits
        self._lease_seconds = lease_seconds

    async def try_lead(self) -> Lead | None:
        """Take the lead of the stream, or return None while another relay has it and is alive.

        Raises:
            CursorUncertain: the saved cursor is not of this server.
            Misconfigured: a standby, or the schema is missing.
        """
        with postgres_errors(self._server):
            row = await self._connection.fetchrow(
                "select * from outbox.try_lead($1, $2, $3)",
                self._stream,
                LOCK_CLASS,
                self._lease_seconds,
                timeout=self._lease_seconds / 2,
            )
        if row is None:
            return None
        return Lead(
            row["epoch"],
            Cursor(row["previous"], row["current"], row["position"], row["horizon"]),
            str(row["origin"]),
        )

    async def verify(self, lead: Lead, witness: Witness | None) -> str | None:
        """Check that what is remembered as published exists here; return the former timeline after a failover.

        Raises:
            CursorUncertain: this server has lost transactions, or nobody can tell.
            LeaseLost: another relay has raised the epoch.
        """
        published = witness.published if witness is not None else ()
        with postgres_errors(self._server):
            timeline: str | None = await self._connection.fetchval(
                "select outbox.verify_lead($1, $2, $3, $4, $5, $6::text[]::uuid[])",
                self._stream,
                lead.epoch,
                witness is not None,
                [one.epoch for one in published],
                [one.sequence for one in published],
                [one.message_id for one in published],
            )
        return timeline

    async def renew(self, lead: Lead, *, within_seconds: float) -> None:
        """Say that this leader is alive.

        Raises:
            LeaseLost: another relay has raised the epoch.
            Unavailable: no answer, and the lease may run out.
        """
        with postgres_errors(self._server):
            await self._connection.execute(
                "select outbox.renew_lead($1, $2, $3)",
                self._stream,
                lead.epoch,
                self._lease_seconds,
                timeout=within_seconds,
            )

    async def begin_batch(self, cursor: Cursor) -> Batch:
        """Return what has become visible since the cursor, or the open batch again after a restart."""
        limits = self._limits
        with postgres_errors(self._server):
            if self._lane.count == 1:
                rows = await self._connection.fetch(
                    "select * from outbox.begin_reading($1::text::pg_snapshot, $2::text::pg_snapshot, $3,"
                    " $4, $5, $6, $7)",
                    cursor.previous,
                    cursor.current,
                    cursor.horizon,
                    cursor.position,
                    limits.max_events,
                    limits.max_page_bytes,
                    limits.max_payload_bytes,
                    timeout=_BEGIN_TIMEOUT_SECONDS,
                )
            else:
                rows = await self._connection.fetch(
                    "select * from outbox.begin_batch($1::text::pg_snapshot, $2::text::pg_snapshot, $3)",
                    cursor.previous,
                    cursor.current,
                    cursor.horizon,
                    timeout=_BEGIN_TIMEOUT_SECONDS,
                )
        batch = Batch(*rows[0][:_BATCH_COLUMNS])
        if self._lane.count == 1 and not batch.is_empty():
            events = [row[_BATCH_COLUMNS:] for row in rows if row["id"] is not None]
            self._first = (batch, batch.start(cursor.position), page_of(events, limits))
        return batch

    async def read_page(self, cursor: Cursor, batch: Batch, after: int) -> Page:
        """Return the next events of the batch after this id; no events means the batch is at its end."""
        if self._first is not None:
            of, behind, page = self._first
            self._first = None
            if of is batch and behind == after:
                return page
        limits = self._limits
        reach = await self._page_reach(batch, after)
        with postgres_errors(self._server):
            rows = await self._connection.fetch(
                "select * from outbox.read_page($1::text::pg_snapshot, $2::text::pg_snapshot, $3::text::xid8[],"
                " $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
                cursor.previous,
                batch.current,
                batch.stragglers,
                batch.low,
                batch.high,
                after,
                limits.max_events,
                limits.max_page_bytes,
                limits.max_payload_bytes,
                cursor.horizon,
                self._lane.number,
                self._lane.count,
                _EVERYTHING if reach is None else reach,
            )
        page = page_of(rows, limits)
        return page if reach is None or page.is_full(limits) else replace(page, reach=reach)

    async def _page_reach(self, batch: Batch, after: int) -> int | None:
        """Return up to which id a page may look: a lane with few events must not read millions of others' at once."""
        if self._lane.count == 1 or batch.is_small(_ROWS_LOOKED_AT):
            return None
        if self._reach is None or self._reach[0] != batch or (self._reach[1] is not None and after >= self._reach[1]):
            with postgres_errors(self._server):
                reach: int | None = await self._connection.fetchval(
                    "select outbox.page_reach($1::text::xid8[], $2, $3, $4, $5)",
                    batch.stragglers,
                    batch.low,
                    batch.high,
                    after,
                    _ROWS_LOOKED_AT,
                )
            self._reach = (batch, reach)
        return self._reach[1]

    async def save(self, lead: Lead, cursor: Cursor) -> None:
        """Save the cursor.

        Raises:
            LeaseLost: another relay has raised the epoch.
        """
        with postgres_errors(self._server):
            await self._connection.execute(
                "select outbox.save_cursor($1, $2, $3::text::pg_snapshot, $4::text::pg_snapshot, $5)",
                self._stream,
                lead.epoch,
                cursor.previous,
                cursor.current,
                cursor.position,
            )

    async def reject(self, event: RefusedEvent) -> None:
        """Record an event that cannot become a message."""
        with postgres_errors(self._server):
            await self._connection.execute("select outbox.reject($1, $2)", event.sequence, event.reason)

    async def observe(self, stream: str) -> Observation:
        """Return what a watchdog must know of a stream or lane.

        Raises:
            SettingsOutdated: the number of lanes is another one.
        """
        with postgres_errors(self._server):
            row = await self._connection.fetchrow("select * from outbox.observe($1)", stream)
        if row is None:
            raise LookupError(f"there is no stream {stream}")
        return Observation(**dict(row))

    async def waiting(self, count_up_to: int) -> tuple[int, float]:
        """Return how many events the saved cursor has not passed (bounded), and the age of the oldest in seconds."""
        with postgres_errors(self._server):
            row = await self._connection.fetchrow("select * from outbox.waiting($1, $2)", self._stream, count_up_to)
        return (row["events"], row["oldest_age_seconds"]) if row else (0, 0.0)


class OutboxStore:
    """Opens sessions on one stream."""

    def __init__(
        self, server: PostgresServer, limits: PageLimits, *, lane: Lane = ONLY_LANE, lease_seconds: float = 10.0
    ) -> None:
        self._server = server
        self._limits = limits
        self._lane = lane
        self.stream = lane.stream
        self.lease_seconds = lease_seconds

    @asynccontextmanager
    async def session(self) -> AsyncIterator[OutboxSession]:
        """Open a session of its own; it ends with the block, and with it the lead that it may have taken."""
        async with connect(self._server, needs_session=True) as connection:
            yield OutboxSession(
                connection, str(self._server), self._lane, self._limits, lease_seconds=self.lease_seconds
            )
