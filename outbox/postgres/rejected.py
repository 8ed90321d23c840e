"""Reads which events could not become messages."""

from __future__ import annotations

from dataclasses import dataclass

from outbox.postgres.connection import PostgresServer, connect
from outbox.postgres.errors import postgres_errors

# Of the newest so many: the cost is the same, however long nobody has looked. Digits are sizes and codes: without
# them, what has the same cause stands in one line.
_GROUPS = """
select r.type, regexp_replace(r.reason, '[0-9]+', 'N', 'g') as cause, count(*) as events,
       count(distinct r.key) as keys, min(r.rejected_at)::text as first_at, max(r.rejected_at)::text as last_at,
       (array_agg(r.sequence order by r.sequence desc))[1:5] as newest_sequences,
       (array_agg(r.reason order by r.sequence desc))[1] as newest_reason
  from (select * from outbox.rejected order by sequence desc limit $1) r
 group by 1, 2
 order by max(r.rejected_at) desc, 1, 2
"""


@dataclass(frozen=True, slots=True)
class RejectedGroup:
    """Rejected events of one type with one cause."""

    type: str
    cause: str
    events: int
    keys: int
    first_at: str
    last_at: str
    newest_sequences: list[int]
    newest_reason: str


async def read_rejected(server: PostgresServer, most: int) -> list[RejectedGroup]:
    """Return what was rejected, by type and cause, what happened last first.

    Raises:
        Unavailable, AccessRefused, Misconfigured: the database cannot tell.
    """
    async with connect(server) as connection:
        with postgres_errors(str(server), needs="grant outbox_relay to this user"):
            rows = await connection.fetch(_GROUPS, most)
    return [RejectedGroup(**dict(row)) for row in rows]
