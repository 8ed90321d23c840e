"""Alerts in the database: what stands, and who was told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime

import asyncpg

from outbox.model.addresses import Addressees
from outbox.model.alert_rules import Grounds, Judgement, TotalsGround
from outbox.model.notices import Claim, Kind, Notice
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors

_JUDGE = "select outbox.judge_alerts($1, $2, $3, $4, $5, $6, $7, $8)"
_NEEDS = "grant outbox_relay, outbox_adapter or outbox_intake to this user"


@dataclass(frozen=True, slots=True)
class TellingStatus:
    """How far a route was told of an alert; see ``outbox.alerts``."""

    channel: str
    recipients: tuple[str, ...]
    told_at: datetime | None
    over_told_at: datetime | None
    failures: int
    failed_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """One alert, and everybody who is told of it."""

    id: int
    subject: str
    rule: str
    text: str
    owner: str | None
    runbook: str | None
    link: str | None
    raised_at: datetime
    over_at: datetime | None
    seen_at: datetime
    told: tuple[TellingStatus, ...]


class AlertSession:
    """One connection."""

    def __init__(self, connection: Connection, server: str) -> None:
        self._connection = connection
        self._server = server

    async def judge(self, judgement: Judgement, addressees: Addressees, over_after_seconds: float) -> int:
        """Note how a subject stands; return how many alerts of its rules have not ended."""
        with postgres_errors(self._server, needs=_NEEDS):
            standing: int = await self._connection.fetchval(
                _JUDGE,
                judgement.subject,
                [rule.value for rule in judgement.rules],
                json.dumps([asdict(one) for one in judgement.broken]),
                json.dumps([asdict(one) for one in addressees.routes]),
                addressees.owner,
                addressees.runbook,
                addressees.link,
                over_after_seconds,
            )
        return standing

    async def grounds(self) -> Grounds:
        """Return what is stored and judged by."""
        with postgres_errors(self._server, needs=_NEEDS):
            rows = await self._connection.fetch("select * from outbox.alert_grounds()")
        (settings,) = (row for row in rows if row["ground"] == "settings")
        return Grounds(
            settings["refused"],
            settings["processes"],
            settings["refusal"],
            tuple(map(_totals, (row for row in rows if row["ground"] == "totals"))),
            frozenset((row["subject"], row["rule"]) for row in rows if row["ground"] == "standing"),
            sum(row["ground"] == "standing" and row["is_raised"] for row in rows),
        )

    async def prune(self, keep_seconds: float) -> int:
        """Forget some of what has been over for so long; return how many."""
        with postgres_errors(self._server, needs=_NEEDS):
            pruned: int = await self._connection.fetchval("select outbox.prune_alerts($1)", keep_seconds)
        return pruned

    async def claim(
        self, channel: str, *, wait_seconds: float, repeat_seconds: float, lease_seconds: float, most: int
    ) -> Claim | None:
        """Take a route that is to be told something, with all that is new to it; None: there is none now."""
        with postgres_errors(self._server, needs=_NEEDS):
            rows = await self._connection.fetch(
                "select * from outbox.claim_notice($1, $2, $3, $4, $5)",
                channel,
                wait_seconds,
                repeat_seconds,
                lease_seconds,
                most,
            )
        if not rows:
            return None
        first = rows[0]
        return Claim(
            first["route_id"], first["epoch"], first["failures"], tuple(first["recipients"]), tuple(map(_notice, rows))
        )

    async def end(self, claim: Claim, every_seconds: float) -> bool:
        """Note what was told; False: another process took the route meanwhile."""
        with postgres_errors(self._server, needs=_NEEDS):
            return bool(
                await self._connection.fetchval(
                    "select outbox.end_notice($1, $2, $3, $4, $5, $6)",
                    claim.route_id,
                    claim.epoch,
                    [one.alert_id for one in claim.notices],
                    [one.level for one in claim.notices],
                    [one.kind is Kind.OVER for one in claim.notices],
                    every_seconds,
                )
            )

    async def fail(self, claim: Claim, reason: str, pause_seconds: float) -> bool:
        """Note that nothing was told, and when that is tried again; False as with `end`."""
        with postgres_errors(self._server, needs=_NEEDS):
            return bool(
                await self._connection.fetchval(
                    "select outbox.fail_notice($1, $2, $3, $4)", claim.route_id, claim.epoch, reason, pause_seconds
                )
            )


class AlertStore:
    """Opens a connection for each look: one in a quarter of a minute is not worth an open one."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AlertSession]:
        """Open a connection for the length of the block.

        Raises:
            Unavailable, AccessRefused, Misconfigured: the database does not take it.
        """
        async with connect(self._server) as connection:
            yield AlertSession(connection, str(self._server))


async def read_alerts(server: PostgresServer, *, with_over: bool) -> list[AlertStatus]:
    """Return what stands, and who was told. Raises the same."""
    async with connect(server) as connection:
        with postgres_errors(str(server)):
            rows = await connection.fetch("select * from outbox.alerts($1)", with_over)
    found: dict[int, list[asyncpg.Record]] = {}
    for row in rows:
        found.setdefault(row["id"], []).append(row)
    return [_status(of_one) for of_one in found.values()]


def _status(rows: Sequence[asyncpg.Record]) -> AlertStatus:
    row = rows[0]
    told = (
        TellingStatus(
            one["channel"],
            tuple(one["recipients"]),
            one["told_at"],
            one["over_told_at"],
            one["failures"],
            one["failed_at"],
            one["last_error"],
        )
        for one in rows
        if one["channel"] is not None
    )
    return AlertStatus(
        row["id"],
        row["subject"],
        row["rule"],
        row["text"],
        row["owner"],
        row["runbook"],
        row["link"],
        row["raised_at"],
        row["over_at"],
        row["seen_at"],
        tuple(told),
    )


def _notice(row: asyncpg.Record) -> Notice:
    return Notice(
        row["alert_id"],
        Kind(row["kind"]),
        row["subject"],
        row["rule"],
        row["text"],
        row["level"],
        row["owner"],
        row["runbook"],
        row["link"],
        row["raised_at"],
        row["lasted_seconds"],
    )


def _totals(row: asyncpg.Record) -> TotalsGround:
    return TotalsGround(
        row["subject"],
        row["since"],
        row["until"],
        row["verdict"],
        json.loads(row["standing"] or "{}"),
        row["is_untold"],
    )
