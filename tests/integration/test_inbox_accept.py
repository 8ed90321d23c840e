"""Accepting: what becomes ready, what waits, what is a duplicate, what is dead on arrival."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from outbox.model.errors import Misconfigured
from outbox.postgres.inbox_store import InboxStore
from tests.kit.database import Database
from tests.kit.inbox import FLOW, LANES, Inbox, applied, arrival


@pytest.fixture
async def inbox(database: Database) -> AsyncIterator[Inbox]:
    async with InboxStore(database.server).session(FLOW) as session:
        assert await session.register(LANES) == LANES
        yield Inbox(session, database)


async def test_the_first_of_a_key_is_ready_and_the_others_wait_behind_it(inbox: Inbox) -> None:
    counts = await inbox.accept(arrival(1), arrival(2), arrival(3), arrival(4, "other"))
    assert (counts.accepted, counts.duplicates, counts.dead) == (4, 0, 0)
    assert await inbox.states() == {"m1": "ready", "m2": "blocked", "m3": "blocked", "m4": "ready"}


async def test_events_without_a_key_never_wait(inbox: Inbox) -> None:
    await inbox.accept(*(arrival(n, None) for n in range(1, 6)))
    assert set((await inbox.states()).values()) == {"ready"}


async def test_a_message_that_comes_again_is_counted_and_changes_nothing(inbox: Inbox) -> None:
    await inbox.accept(arrival(1), arrival(2))
    counts = await inbox.accept(arrival(2), arrival(1), arrival(3), arrival(3))
    assert (counts.accepted, counts.duplicates) == (1, 3)
    copies = await inbox.database.rows("select message_id, copies from inbox.delivery order by id")
    assert [tuple(row) for row in copies] == [("m1", 2), ("m2", 2), ("m3", 2)]


async def test_a_duplicate_of_an_applied_delivery_is_not_applied_again(inbox: Inbox) -> None:
    await inbox.accept(arrival(1))
    await inbox.hold()
    assert await inbox.apply_all() == ["m1"]
    await inbox.accept(arrival(1))
    assert await inbox.due() == []
    assert await inbox.states() == {"m1": "applied"}


async def test_the_same_message_is_a_delivery_of_its_own_for_every_flow(inbox: Inbox, database: Database) -> None:
    await inbox.accept(arrival(1))
    async with InboxStore(database.server).session("stock") as session:
        await session.register(LANES)
        counts = await session.accept([arrival(1)])
    assert counts.accepted == 1


async def test_whether_anybody_has_lately_accepted_is_told_by_flow(inbox: Inbox, database: Database) -> None:
    assert not await inbox.session.has_accepted(60)
    async with InboxStore(database.server).session("stock") as other:
        await other.register(LANES)
        await other.accept([arrival(1)])
        assert await other.has_accepted(60)
        assert not await inbox.session.has_accepted(60)
        async with database.connection() as connection:
            await connection.execute("update inbox.delivery set accepted_at = now() - interval '61 seconds'")
        assert not await other.has_accepted(60)


async def test_a_batch_that_is_out_of_order_is_applied_in_sequence(inbox: Inbox) -> None:
    await inbox.accept(arrival(3), arrival(1), arrival(2))
    await inbox.hold()
    assert await inbox.apply_all() == ["m1", "m2", "m3"]


async def test_a_late_smaller_sequence_overtakes_one_that_is_untouched(inbox: Inbox) -> None:
    await inbox.accept(arrival(5), arrival(6))
    await inbox.accept(arrival(4))
    assert await inbox.states() == {"m5": "blocked", "m6": "blocked", "m4": "ready"}
    await inbox.hold()
    assert await inbox.apply_all() == ["m4", "m5", "m6"]


async def test_a_fetched_delivery_that_was_overtaken_is_not_begun(inbox: Inbox) -> None:
    await inbox.accept(arrival(5))
    await inbox.hold()
    (due,) = await inbox.due()
    await inbox.accept(arrival(4))
    assert await inbox.begin(due) == {}
    assert await inbox.apply_all() == ["m4", "m5"]


async def test_a_smaller_sequence_after_a_bigger_one_took_effect_is_parked_as_stale(inbox: Inbox) -> None:
    await inbox.accept(arrival(5))
    await inbox.hold()
    await inbox.apply_all()
    counts = await inbox.accept(arrival(4), arrival(6), arrival(7, "other"))
    assert counts.dead == 1
    assert await inbox.states() == {"m5": "applied", "m4": "dead", "m6": "blocked", "m7": "ready"}
    assert await inbox.database.value("select reason_class from inbox.delivery where message_id = 'm4'") == "stale"
    assert await inbox.apply_all() == ["m7"], "a dead letter blocks its key and no other"


async def test_a_smaller_sequence_after_a_bigger_one_was_begun_is_parked_as_stale(inbox: Inbox) -> None:
    await inbox.accept(arrival(5))
    await inbox.hold()
    (due,) = await inbox.due()
    await inbox.begin(due)
    await inbox.accept(arrival(4))
    assert await inbox.states() == {"m5": "applying", "m4": "dead"}
    assert await inbox.settle(applied(due)) == {due.id}


async def test_what_is_not_an_envelope_is_dead_on_arrival_and_blocks_nobody(inbox: Inbox) -> None:
    counts = await inbox.accept(arrival(0, None, message_id="sha256:x", refusal="not an envelope: …"), arrival(1))
    assert (counts.accepted, counts.dead) == (2, 1)
    assert await inbox.states() == {"sha256:x": "dead", "m1": "ready"}


async def test_a_flow_that_is_not_registered_is_a_clear_error(database: Database) -> None:
    async with InboxStore(database.server).session("nobody") as session:
        with pytest.raises(Misconfigured, match="flow nobody is not registered"):
            await session.accept([arrival(1)])


async def test_the_number_of_lanes_stays_what_it_was_at_first(inbox: Inbox) -> None:
    assert await inbox.session.register(64) == LANES


async def test_a_delivery_accepted_while_its_predecessor_is_settled_is_never_forgotten(
    inbox: Inbox, database: Database
) -> None:
    """Accept and settle of one key at the same moment, many times: nothing may stay blocked behind nothing."""
    await inbox.hold()
    async with InboxStore(database.server).session(FLOW) as other:
        for sequence in range(1, 150, 2):
            await inbox.accept(arrival(sequence))
            (due,) = await inbox.due()
            await inbox.begin(due)
            async with asyncio.TaskGroup() as group:
                group.create_task(inbox.settle(applied(due)))
                group.create_task(other.accept([arrival(sequence + 1)]))
            assert await inbox.apply_all() == [f"m{sequence + 1}"]
