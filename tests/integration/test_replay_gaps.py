"""A replay that is slower than what it reads from: retention removes events, and the inbox forgets what it had."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from outbox.model.errors import Misconfigured
from outbox.postgres.replay import ReplaySession, replay_session
from tests.kit.database import Database
from tests.kit.inbox import FLOW, Inbox
from tests.kit.partitions import AT_ONCE, days_go_by, upkeep
from tests.kit.replays import EVERYTHING, MOST, emit, had
from tests.kit.waiting import until

HOUR_SECONDS = 3600.0


async def _next_day(inbox: Inbox, events: int) -> list[str]:
    """Let a day end, and let the flow have some events of the next one."""
    await days_go_by(inbox.database)
    return [one.message_id for one in await had(inbox, events)]


async def _retention(database: Database, *, leaves: int) -> None:
    """Remove what may go; a partition that somebody looks at just then, autovacuum for one, goes a round later."""

    async def is_done() -> bool:
        await upkeep(database, AT_ONCE)
        return bool(await database.value("select count(*) = $1 from outbox.event", leaves))

    await until(is_done, what=f"{leaves} events are left")


async def test_a_replay_that_was_slower_than_retention_does_not_end_as_if_it_had_seen_everything(
    inbox: Inbox, replays: ReplaySession
) -> None:
    await had(inbox, 3)
    await _next_day(inbox, 1)
    number = await replays.begin(EVERYTHING, who="ann", why="test")
    await replays.step(number, 1, MOST)
    await _retention(inbox.database, leaves=1)
    with pytest.raises(Misconfigured, match=f"removed events that replay {number} had not looked at") as refused:
        await replays.step(number, MOST, MOST)
    assert f"outbox replay cancel {number}" in refused.value.next_step
    (entry,) = await replays.entries(1)
    assert (entry.state, entry.replayed) == ("running", 1), "it is there until a person has seen it"


async def test_what_was_not_asked_for_may_go(inbox: Inbox, replays: ReplaySession) -> None:
    await had(inbox, 3)
    await _next_day(inbox, 0)
    await had(inbox, 1, key="before")
    since = datetime.now(UTC)
    newer = [one.message_id for one in await had(inbox, 2)]
    number = await replays.begin(replace(EVERYTHING, since=since), who="ann", why="test")
    await _retention(inbox.database, leaves=3)
    while (await replays.step(number, MOST, MOST)).state == "running":
        pass
    assert await inbox.apply_all() == newer


async def test_while_the_oldest_events_cannot_be_removed_no_gap_comes_behind_them(
    inbox: Inbox, replays: ReplaySession, database: Database
) -> None:
    await had(inbox, 2)
    await _next_day(inbox, 2)
    await _next_day(inbox, 1)
    number = await replays.begin(EVERYTHING, who="ann", why="test")
    async with database.connection() as reader, reader.transaction():
        await reader.execute("select from outbox.event_p0")
        await upkeep(database, AT_ONCE)
    assert await database.value("select count(*) from outbox.event") == 5
    assert (await replays.step(number, MOST, MOST)).replayed == 5


async def test_what_the_inbox_may_have_forgotten_is_not_taken_for_missing(inbox: Inbox, database: Database) -> None:
    (event,) = await emit(inbox, 1)
    async with replay_session(database.server, HOUR_SECONDS) as replays:
        number = await replays.begin(replace(EVERYTHING, missing_only=True), who="ann", why="test")
        await database.rows(
            "update outbox.event set created_at = created_at - make_interval(secs => $1)", HOUR_SECONDS + 1
        )
        with pytest.raises(Misconfigured, match=f"nobody knows any more whether flow {FLOW} had them"):
            await replays.step(number, MOST, MOST)
    async with replay_session(database.server, 2 * HOUR_SECONDS) as replays:
        await replays.cancel(number, who="ann", why="test")
        number = await replays.begin(replace(EVERYTHING, missing_only=True), who="ann", why="test")
        assert (await replays.step(number, MOST, MOST)).replayed == 1
    assert await inbox.apply_all() == [event.message_id]
