"""Events that a flow had, and replays of them from the first step to the last."""

from __future__ import annotations

from dataclasses import replace

from outbox.model.inbox import Arrival
from outbox.model.replay import Selection, type_patterns
from outbox.postgres.replay import ReplaySession
from tests.kit.inbox import FLOW, Inbox, arrival

EVERYTHING = Selection(FLOW, type_patterns(["#"]))
MOST = 1000
REMEMBERED_SECONDS = 61 * 86400.0


async def emit(inbox: Inbox, count: int, *, key: str = "k", event_type: str = "order.confirmed") -> list[Arrival]:
    """Commit events, publish them, and return what a consumer gets."""
    rows = await inbox.database.rows(
        "with new as (insert into outbox.event (type, key, payload)"
        " select $1, $2, json_build_object('n', n) from generate_series(1, $3::int) n"
        " returning id, event_id, type, key) select * from new order by id",
        event_type,
        key,
        count,
    )
    await inbox.database.rows("update outbox.cursor set previous = pg_current_snapshot()")
    return [replace(arrival(row["id"], row["key"], message_id=str(row["event_id"])), type=row["type"]) for row in rows]


async def had(inbox: Inbox, count: int, **about: str) -> list[Arrival]:
    """Return events that the flow has applied."""
    arrivals = await emit(inbox, count, **about)
    await inbox.accept(*arrivals)
    assert await inbox.apply_all() == [one.message_id for one in arrivals]
    return arrivals


async def replay(replays: ReplaySession, selection: Selection = EVERYTHING, *, most: int = MOST) -> int:
    number = await replays.begin(selection, who="ann", why="the CRM lost them")
    while (await replays.step(number, most, MOST)).state == "running":
        pass
    return number
