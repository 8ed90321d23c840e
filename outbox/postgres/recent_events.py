"""Reads the newest events of some types, in small statements, and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outbox.postgres.connection import PostgresServer, connect
from outbox.postgres.errors import postgres_errors

# Events that one statement looks at, so that none takes long or holds many payloads.
_PAGE = 200
# Larger payloads would fill the memory of whoever looks at thousands of them.
_LARGEST_BYTES = 1024 * 1024
_BEFORE_ALL = 2**63 - 1


@dataclass(frozen=True, slots=True)
class RecentEvent:
    """An event with its payload; None: it is larger than a look reads."""

    sequence: int
    event_id: str
    type: str
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class RecentEvents:
    """The newest first. ``looked_at``: events of all types that were looked at to find these."""

    events: tuple[RecentEvent, ...]
    looked_at: int


async def read_recent_events(
    server: PostgresServer, patterns: Sequence[str], *, last: int, look_at_most: int
) -> RecentEvents:
    """Return the newest events whose type matches a pattern (see `outbox.model.replay.type_patterns`).

    Raises:
        Unavailable, AccessRefused, Misconfigured: the database cannot tell.
    """
    found: list[RecentEvent] = []
    before, looked_at = _BEFORE_ALL, 0
    async with connect(server) as connection:
        while len(found) < last and looked_at < look_at_most:
            with postgres_errors(str(server), needs="grant outbox_adapter or outbox_relay to this user"):
                rows = await connection.fetch(
                    "select * from outbox.recent_events($1, $2, $3, $4)", patterns, before, _PAGE, _LARGEST_BYTES
                )
            if not rows:
                break
            found += [
                RecentEvent(row["id"], str(row["event_id"]), row["type"], row["payload"])
                for row in rows
                if row["id"] is not None
            ]
            before, looked_at = rows[0]["looked_down_to"], looked_at + rows[0]["looked_at"]
    return RecentEvents(tuple(found[:last]), looked_at)
