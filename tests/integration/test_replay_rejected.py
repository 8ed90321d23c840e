"""What was refused when publishing, for example by its contract, does not come in by a replay."""

from __future__ import annotations

from dataclasses import replace

from outbox.postgres.replay import ReplaySession
from tests.kit.inbox import Inbox
from tests.kit.replays import EVERYTHING, emit, had
from tests.kit.replays import replay as replay_all

MISSING = replace(EVERYTHING, missing_only=True)


async def test_a_rejected_event_is_not_missing_and_is_told(inbox: Inbox, replays: ReplaySession) -> None:
    _, rejected, lost = await emit(inbox, 3, key="other")
    await inbox.database.rows("select outbox.reject($1, 'breaks contract order.confirmed@1: …')", rejected.sequence)

    found = await replays.candidates(MISSING, 0)
    await replay_all(replays, MISSING)

    assert (found.by_type, found.left_out) == ({"order.confirmed": 2}, {"rejected": 1})
    rows = await inbox.database.rows("select message_id from inbox.delivery order by sequence")
    assert [row["message_id"] for row in rows][-1] == lost.message_id
    assert rejected.message_id not in {row["message_id"] for row in rows}


async def test_what_a_flow_had_is_replayed_although_it_was_rejected_later(inbox: Inbox, replays: ReplaySession) -> None:
    (applied,) = await had(inbox, 1)
    await inbox.database.rows("select outbox.reject($1, 'above a limit that was lowered')", applied.sequence)

    found = await replays.candidates(EVERYTHING, 0)

    assert (found.by_type, found.left_out) == ({"order.confirmed": 1}, {})
