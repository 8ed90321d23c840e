"""Reads where everything stands, at constant cost: every count has a bound."""

from __future__ import annotations

from dataclasses import dataclass

from outbox.postgres.connection import PostgresServer, connect
from outbox.postgres.errors import postgres_errors
from outbox.postgres.migrate import LOCK_CLASS

# Counting stops here; "10000" then means "10000 or more".
COUNT_UP_TO = 10_000

_STREAM = """
select w.events, w.oldest_age_seconds, c.epoch,
       extract(epoch from clock_timestamp() - c.saved_at)::float8 as saved_age_seconds,
       c.leased_until > clock_timestamp()
       and exists (select from pg_locks l where l.locktype = 'advisory' and l.classid = $3::int::oid
                 and l.objid = outbox.lead_key(c.stream, c.epoch)::oid and l.granted
                 and l.database = (select d.oid from pg_database d where d.datname = current_database())) as is_led,
       (select count(*) from (select from outbox.rejected limit $2) r) as rejected
  from outbox.cursor c, outbox.waiting(c.stream, $2) w
 where c.stream = $1
"""


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One stream. ``waiting`` includes up to a second's worth that is published and not saved yet."""

    stream: str
    is_led: bool
    epoch: int
    waiting: int
    oldest_age_seconds: float
    saved_age_seconds: float
    rejected: int


@dataclass(frozen=True, slots=True)
class FlowStatus:
    """One flow's unfinished deliveries."""

    flow: str
    ready: int
    applying: int
    retry: int
    in_doubt: int
    blocked: int
    dead: int
    oldest_due_age_seconds: float
    lanes: int
    lanes_leased: int
    last_reason: str | None


async def read_status(server: PostgresServer, stream: str) -> tuple[StreamStatus, list[FlowStatus]]:
    """Return the stream's and every flow's standing.

    Raises:
        Unavailable, AccessRefused, Misconfigured: the database cannot tell.
    """
    async with connect(server) as connection:
        with postgres_errors(str(server), needs="grant outbox_relay and outbox_adapter to this user"):
            row = await connection.fetchrow(_STREAM, stream, COUNT_UP_TO, LOCK_CLASS)
            flows = await connection.fetch("select * from inbox.status($1)", COUNT_UP_TO)
    if row is None:
        raise LookupError(f"there is no stream {stream}")
    return (
        StreamStatus(
            stream,
            row["is_led"],
            row["epoch"],
            row["events"],
            row["oldest_age_seconds"],
            row["saved_age_seconds"],
            row["rejected"],
        ),
        [FlowStatus(**dict(flow)) for flow in flows],
    )
