"""Reads where everything stands, at constant cost: every count has a bound."""

from __future__ import annotations

from dataclasses import dataclass

from outbox.model.awaited import awaited_text
from outbox.postgres.connection import Connection, PostgresServer, connect
from outbox.postgres.errors import postgres_errors
from outbox.postgres.migrate import LOCK_CLASS

# Counting stops here; "10000" then means "10000 or more".
COUNT_UP_TO = 10_000

_LANES = """
select c.stream, c.epoch, c.position, c.previous::text, outbox.leader(c.stream) as leader,
       w.events, w.oldest_age_seconds,
       extract(epoch from clock_timestamp() - c.saved_at)::float8 as saved_age_seconds,
       c.leased_until > clock_timestamp()
       and exists (select from pg_locks l where l.locktype = 'advisory' and l.classid = $3::int::oid
                 and l.objid = outbox.lead_key(c.stream, c.epoch)::oid and l.granted
                 and l.database = (select d.oid from pg_database d where d.datname = current_database())) as is_led,
       (select count(*) from (select from outbox.rejected limit $2) r) as rejected
  from outbox.cursor c, outbox.waiting(c.stream, $2) w
 where split_part(c.stream, ':', 1) = $1
 order by c.lane
"""
# By name: a function of another release may return more than is known here, and one that returns less is told as that.
_FLOWS = """
select flow, ready, applying, retry, in_doubt, blocked, dead, oldest_due_age_seconds, lanes, lanes_leased, last_reason,
       circuit, circuit_reason, circuit_seconds, needs_a_person, throttled_seconds, awaiting,
       awaits
  from inbox.status($1)
"""


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """One cursor. ``waiting`` includes up to a second's worth that is published and not saved yet."""

    stream: str
    leader: str | None
    is_led: bool
    epoch: int
    previous: str
    position: int
    waiting: int
    oldest_age_seconds: float
    saved_age_seconds: float


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One stream: its lanes together. ``is_led``: every one of them is."""

    stream: str
    is_led: bool
    epoch: int
    waiting: int
    oldest_age_seconds: float
    saved_age_seconds: float
    rejected: int


@dataclass(frozen=True, slots=True)
class FlowStatus:
    """One flow's unfinished deliveries, and whether its target is called.

    ``circuit_seconds``: until the next probe; None with an open circuit: until a person closes it. ``awaiting``: how
    many wait for ids of other systems; ``awaits``: for which the oldest of them.
    """

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
    circuit: str
    circuit_reason: str | None
    circuit_seconds: float | None
    needs_a_person: bool
    throttled_seconds: float | None
    awaiting: int
    awaits: str | None


async def read_status(server: PostgresServer, stream: str) -> tuple[StreamStatus, list[LaneStatus], list[FlowStatus]]:
    """Return the stream's, every lane's and every flow's standing.

    Raises:
        Unavailable, AccessRefused, Misconfigured: the database cannot tell.
    """
    async with connect(server) as connection:
        with postgres_errors(str(server), needs="grant outbox_relay and outbox_adapter to this user"):
            return *await _outbox(connection, stream), await fetch_flows(connection)


async def read_outbox(server: PostgresServer, stream: str) -> tuple[StreamStatus, list[LaneStatus]]:
    """Return the stream's and every lane's standing. Raises the same."""
    async with connect(server) as connection:
        with postgres_errors(str(server), needs="grant outbox_relay to this user"):
            return await _outbox(connection, stream)


async def read_inbox(server: PostgresServer) -> list[FlowStatus]:
    """Return every flow's standing. Raises the same."""
    async with connect(server) as connection:
        with postgres_errors(str(server), needs="grant outbox_adapter to this user"):
            return await fetch_flows(connection)


async def _outbox(connection: Connection, stream: str) -> tuple[StreamStatus, list[LaneStatus]]:
    rows = await connection.fetch(_LANES, stream, COUNT_UP_TO, LOCK_CLASS)
    if not rows:
        raise LookupError(f"there is no stream {stream}")
    lanes = [
        LaneStatus(
            row["stream"],
            row["leader"],
            row["is_led"],
            row["epoch"],
            row["previous"],
            row["position"],
            row["events"],
            row["oldest_age_seconds"],
            row["saved_age_seconds"],
        )
        for row in rows
    ]
    return (
        StreamStatus(
            stream,
            all(lane.is_led for lane in lanes),
            max(lane.epoch for lane in lanes),
            min(sum(lane.waiting for lane in lanes), COUNT_UP_TO),
            max(lane.oldest_age_seconds for lane in lanes),
            max(lane.saved_age_seconds for lane in lanes),
            rows[0]["rejected"],
        ),
        lanes,
    )


async def fetch_flows(connection: Connection) -> list[FlowStatus]:
    """Return every flow's standing, over an open connection; errors are the caller's to translate."""
    flows = await connection.fetch(_FLOWS, COUNT_UP_TO)
    return [FlowStatus(**dict(flow) | {"awaits": awaited_text(flow["awaits"]) or None}) for flow in flows]
