"""The books in the database: where the events of a window stand, and what came of earlier windows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg

from outbox.model.errors import Misconfigured
from outbox.model.reconciliation import BookPage, Entry, Group, Place, Reconciliation, Schedule, Subject, Task, Verdict
from outbox.model.reconciliation_text import as_document
from outbox.model.totals import NO_CURRENCY, Sum, Sums, Window, added, decimal_of
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors

# Events that one statement looks at: their payloads are read, and nothing waits for it.
_LOOKED_AT = 2_000
_PAGE = "select * from inbox.reconcile_page($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
_NEEDS = "grant outbox_adapter to this user"
# Syntax, names and permissions: what is wrong with a query and names no value.
_TELLING = "42"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LastReconciliation:
    """What came of the newest window of a flow. ``result``: see `as_document`."""

    flow: str
    since: datetime
    until: datetime
    verdict: Verdict
    result: dict[str, object]


class ReconcileSession:
    """One connection for reconciling."""

    def __init__(self, connection: Connection, server: PostgresServer) -> None:
        self._connection = connection
        self._server = str(server)
        self._timeout_seconds = server.statement_timeout_seconds

    async def now(self) -> datetime:
        """Return the database's time."""
        with postgres_errors(self._server):
            now: datetime = await self._connection.fetchval("select clock_timestamp()")
        return now

    async def source(self, subject: Subject, window: Window) -> Sums:
        """Ask the ERP's own tables, in a transaction that can write nothing.

        Raises:
            Misconfigured: the query cannot be run, or has no column "count".
        """
        with postgres_errors(self._server, needs=_NEEDS):
            async with self._connection.transaction(readonly=True):
                rows = await self._source_rows(subject, window)
        return added(_source_part(subject, json.loads(row, parse_float=str, parse_int=str)) for row in rows)

    async def _source_rows(self, subject: Subject, window: Window) -> list[str]:
        try:
            rows = await self._connection.fetch(
                "select outbox.committed_rows($1, $2, $3, $4, $5) as told",
                subject.query,
                subject.role,
                window.since,
                window.until,
                self._timeout_seconds,
            )
        except asyncpg.PostgresError as error:
            state = error.sqlstate or ""
            if state.startswith(("08", "53", "57", "58", "40", "OB", "55")):
                raise
            # Other messages quote values.
            text = f" {error.args[0]}" if state.startswith(_TELLING) and error.args else ""
            raise _wrong_query(subject, f"{state}{text}") from None
        return [row["told"] for row in rows]

    async def range(self, window: Window) -> tuple[int, int, bool]:
        """Return between which ids the events of a window are, and whether retention has removed some of them."""
        with postgres_errors(self._server, needs=_NEEDS):
            row = await self._connection.fetchrow(
                "select * from inbox.window_range($1, $2)", window.since, window.until
            )
        if row is None:
            raise LookupError("inbox.window_range returned no row")
        return row["after"], row["upto"], bool(row["is_cut"])

    async def page(
        self, subject: Subject, window: Window, *, after: int, upto: int, with_applied: bool, most_listed: int
    ) -> BookPage | None:
        """Return where the next events stand; None: there are no more."""
        with postgres_errors(self._server, needs=_NEEDS):
            rows = await self._connection.fetch(
                _PAGE,
                subject.flow,
                list(subject.patterns),
                window.since,
                window.until,
                None if subject.amount is None else list(subject.amount),
                None if subject.currency is None else list(subject.currency),
                with_applied,
                after,
                upto,
                _LOOKED_AT,
                most_listed,
            )
        if not rows:
            return None
        told = [row for row in rows if row["place"] is not None]
        return BookPage(
            rows[0]["looked_up_to"],
            [_group(row) for row in told if row["sequence"] is None],
            [_entry(row) for row in told if row["sequence"] is not None],
        )

    async def begin(self, flow: str, schedule: Schedule, lease_seconds: float) -> Task | None:
        """Take the next window that is due; None: there is none, or another process has it."""
        with postgres_errors(self._server, needs=_NEEDS):
            row = await self._connection.fetchrow(
                "select * from outbox.begin_reconciliation($1, $2, $3, $4, $5)",
                flow,
                schedule.every_seconds,
                schedule.window_seconds,
                schedule.lag_seconds,
                lease_seconds,
            )
        return None if row is None else Task(row["id"], row["epoch"], Window(row["since"], row["until"]))

    async def give_up(self, flow: str, schedule: Schedule) -> list[Window]:
        """End what was begun, is too old to be made good, and nobody has, as untold; return that."""
        with postgres_errors(self._server, needs=_NEEDS):
            rows = await self._connection.fetch(
                "select * from outbox.give_up_reconciliations($1, $2, $3)",
                flow,
                schedule.every_seconds,
                schedule.lag_seconds,
            )
        return [Window(row["since"], row["until"]) for row in rows]

    async def renew(self, task: Task, lease_seconds: float) -> bool:
        """Keep a window for longer; False: another process has it."""
        with postgres_errors(self._server, needs=_NEEDS):
            return bool(
                await self._connection.fetchval(
                    "select outbox.renew_reconciliation($1, $2, $3)", task.id, task.epoch, lease_seconds
                )
            )

    async def end(self, task: Task, result: Reconciliation) -> bool:
        """Store what came of a window; False: another process has it."""
        with postgres_errors(self._server, needs=_NEEDS):
            return bool(
                await self._connection.fetchval(
                    "select outbox.end_reconciliation($1, $2, $3, $4)",
                    task.id,
                    task.epoch,
                    result.verdict,
                    json.dumps(as_document(result)),
                )
            )

    async def last(self) -> list[LastReconciliation]:
        """Return what came of the newest window of each flow."""
        with postgres_errors(self._server):
            rows = await self._connection.fetch("select * from outbox.last_reconciliations()")
        return [
            LastReconciliation(
                row["flow"], row["since"], row["until"], Verdict(row["verdict"]), json.loads(row["result"])
            )
            for row in rows
        ]


def window_before(now: datetime, schedule: Schedule) -> Window:
    """Return the newest window that is due at this time of the database, as `outbox.begin_reconciliation` has it."""
    # In decimals, and of as many digits as the database takes of a float: in binary a window could end a period early.
    every, lag = (Decimal(f"{seconds:.15g}") for seconds in (schedule.every_seconds, schedule.lag_seconds))
    reached = Decimal((now - _EPOCH) // timedelta(microseconds=1)).scaleb(-6) - lag
    until = _EPOCH + timedelta(microseconds=int((reached // every * every).scaleb(6)))
    return Window(until - timedelta(seconds=schedule.window_seconds), until)


class ReconcileStore:
    """Opens a connection for each look: one a minute is not worth an open one."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    @asynccontextmanager
    async def session(self) -> AsyncIterator[ReconcileSession]:
        """Open a connection for the length of the block."""
        async with connect(self._server) as connection:
            yield ReconcileSession(connection, self._server)


def _group(row: asyncpg.Record) -> Group:
    applied = Sum(row["events"], row["applied_amount"], row["applied_unread"])
    place = Place(row["place"])
    return Group(
        place,
        row["currency"],
        Sum(row["events"], row["amount"], row["unread"]),
        applied if place is Place.APPLIED else Sum(),
    )


def _entry(row: asyncpg.Record) -> Entry:
    place = Place(row["place"])
    return Entry(
        place,
        row["sequence"],
        str(row["event_id"]),
        row["currency"],
        row["applied_amount"] if place is Place.APPLIED else row["amount"],
        row["external_id"],
        row["reference"],
    )


def _source_part(subject: Subject, told: dict[str, object]) -> tuple[str, Sum]:
    count = told.get("count")
    if not isinstance(count, str) or not count.isdecimal():
        raise _wrong_query(subject, "it has no column count with a whole number")
    currency = told.get("currency")
    name = currency if subject.currency is not None and isinstance(currency, str) else NO_CURRENCY
    if subject.amount is None or "amount" not in told:
        return name, Sum(int(count), Decimal(0), int(count))
    amount = decimal_of(told["amount"])
    if amount is None and (int(count) or told["amount"] is not None):
        raise _wrong_query(subject, "an amount is no number, or has more digits than any ledger")
    return name, Sum(int(count), amount or Decimal(0))


def _wrong_query(subject: Subject, problem: str) -> Misconfigured:
    return Misconfigured(
        f"flows.{subject.flow}.reconcile.committed: the query cannot be used: {problem}",
        "run it by hand, as its role, with two times instead of $1 and $2",
    )
