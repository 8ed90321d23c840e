"""An owner that has lost its lane and got it back: what it still knows from before is void."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
import pytest

from outbox.model.delivery import Settlement, State
from outbox.postgres.inbox_store import InboxStore
from tests.kit.database import Database
from tests.kit.inbox import FLOW, LANES, Inbox, applied, arrival, ended

RETRY = Settlement(State.RETRY, 0.0, is_failure=True, reason="not done", reason_class="retry")
_LEASES_END = "update inbox.lane set leased_until = '-infinity' returning 1"
_CONSUMERS_LEAVE = "delete from inbox.consumer returning 1"


async def test_a_result_from_before_is_not_taken_for_that_of_the_call_that_runs_now(database: Database) -> None:
    async with InboxStore(database.server).session(FLOW) as session:
        await session.register(LANES)
        me = Inbox(session, database)
        heir = replace(me, me="heir")
        await me.hold()
        await me.accept(arrival(1))
        (before,) = await me.due()
        await me.begin(before)
        for next_owner in (heir, me):
            await database.value(_LEASES_END)
            await database.value(_CONSUMERS_LEAVE)
            assert before.lane in await next_owner.hold()
        (now,) = await me.due()
        assert (now.state, now.epoch) == (State.IN_DOUBT, before.epoch + 2)
        assert await me.begin(now) == {now.id: 2}
        assert await me.settle(ended(before, RETRY)) == set(), "it speaks of the first call"
        assert await me.states() == {"m1": "applying"}
        assert await me.settle(applied(now)) == {now.id}


async def test_the_database_itself_refuses_a_second_call_of_a_key(database: Database) -> None:
    """Whatever went wrong before: of two calls at once nobody could say which one took effect last."""
    async with InboxStore(database.server).session(FLOW) as session:
        await session.register(LANES)
        me = Inbox(session, database)
        await me.hold()
        await me.accept(arrival(1), arrival(2), arrival(3, None), arrival(4, None))
        await database.value(
            "update inbox.delivery set state = 'ready', due_at = now() where message_id = 'm2' returning 1"
        )
        first, second, *keyless = sorted(await me.due(), key=lambda one: one.sequence)
        assert len(await me.begin(first, *keyless)) == 3
        with pytest.raises(asyncpg.UniqueViolationError, match="delivery_applying_key"):
            await me.begin(second)
        await me.settle(applied(first))
        assert await me.begin(second) == {second.id: 1}
