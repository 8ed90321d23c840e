"""Lanes: leased by the database's clock, shared fairly, moved when an owner goes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from outbox.postgres.inbox_store import InboxStore
from tests.kit.database import Database
from tests.kit.inbox import FLOW, Inbox, applied, arrival

LANES = 16
Join = Callable[[str], Awaitable[Inbox]]


@pytest.fixture
async def join(database: Database) -> AsyncIterator[Join]:
    """Open the flow's inbox as a process of this name."""
    async with AsyncExitStack() as stack:

        async def _join(name: str) -> Inbox:
            session = await stack.enter_async_context(InboxStore(database.server).session(FLOW))
            await session.register(LANES)
            return Inbox(session, database, name)

        yield _join


async def test_one_process_alone_holds_every_lane(join: Join) -> None:
    one = await join("one")
    assert await one.hold() == set(range(LANES))
    assert await one.hold() == set(range(LANES)), "renewing keeps them"


async def test_a_second_process_gets_its_half_as_soon_as_the_first_gives_it_back(join: Join) -> None:
    one, two = await join("one"), await join("two")
    await one.hold()
    assert await two.hold() == set()
    held = await one.session.hold_lanes("one", 60)
    assert held.fair_share == LANES // 2
    assert await one.session.release_lanes("one", sorted(held.epochs)[:8]) == 8
    assert await two.hold() == set(range(8))
    assert await one.hold() == set(range(8, LANES))


async def test_a_lane_with_a_call_under_way_is_not_given_back(join: Join) -> None:
    one = await join("one")
    await one.hold()
    await one.accept(arrival(1))
    (due,) = await one.due()
    await one.begin(due)
    assert await one.session.release_lanes("one", range(LANES)) == LANES - 1
    assert await one.settle(applied(due)) == {due.id}
    assert await one.session.release_lanes("one", range(LANES)) == 1


async def test_the_lanes_of_a_silent_process_are_taken_over_with_a_higher_epoch(join: Join, database: Database) -> None:
    one, two = await join("one"), await join("two")
    before = (await one.session.hold_lanes("one", 60)).epochs
    await database.value("update inbox.lane set leased_until = now() - interval '1 s' returning 1")
    await database.value("update inbox.consumer set seen_until = now() - interval '1 s' returning 1")
    after = await two.session.hold_lanes("two", 60)
    assert after.epochs == {lane: epoch + 1 for lane, epoch in before.items()}
    assert after.taken == LANES
    assert await one.hold() == set()
    assert await one.due() == []


async def test_calls_of_a_dead_process_are_in_doubt_for_its_heir_and_logged(join: Join, database: Database) -> None:
    one, two = await join("one"), await join("two")
    await one.hold()
    await one.accept(arrival(1, "a"), arrival(2, "a"), arrival(3, "b"))
    first, other = await one.due()
    await one.begin(first)
    await one.session.abandon_lanes("one")
    held = await two.session.hold_lanes("two", 60)
    assert held.in_doubt == 1
    assert {one.message_id: one.state.value for one in await two.due()} == {"m1": "in_doubt", "m3": "ready"}
    assert [name for name in await two.apply_all() if name != "m3"] == ["m1", "m2"]
    log = await database.rows(
        "select outcome, owner from inbox.attempt where delivery_id = $1 order by attempt", first.id
    )
    assert [row["outcome"] for row in log] == ["unknown", "applied"]
    assert other.id != first.id


async def test_nobody_works_on_an_expired_lease_even_when_nobody_else_took_it(join: Join, database: Database) -> None:
    one = await join("one")
    await one.hold()
    await one.accept(arrival(1))
    (due,) = await one.due()
    await database.value("update inbox.lane set leased_until = now() - interval '1 s' returning 1")
    assert await one.due() == []
    assert await one.begin(due) == {}, "its calls could meet those of an heir"
    await one.hold()
    assert due.id in await one.begin(due)


async def test_a_key_is_always_in_the_same_lane_and_keys_are_spread(join: Join, database: Database) -> None:
    one = await join("one")
    await one.accept(*(arrival(n, f"key {n % 200}") for n in range(1, 401)))
    per_key = await database.rows("select count(distinct lane) as lanes from inbox.delivery group by key")
    assert {row["lanes"] for row in per_key} == {1}
    assert await database.value("select count(distinct lane) from inbox.delivery") == LANES


@pytest.mark.parametrize("in_one_lane", [0, 3, 4, 5, 40])
@pytest.mark.parametrize("spread", [0, 1, 30])
async def test_what_is_due_is_found_however_it_is_spread_over_the_lanes(
    join: Join, database: Database, in_one_lane: int, spread: int
) -> None:
    one = await join("one")
    await one.hold()
    crowded = await database.rows(
        "select 'c' || n as key from generate_series(1, 2000) n where outbox.lane_of('c' || n, 0, $1) = 7 limit $2",
        LANES,
        in_one_lane,
    )
    keys = [row["key"] for row in crowded] + [f"s{number}" for number in range(spread)]
    assert len(crowded) == in_one_lane
    if keys:
        await one.accept(*[arrival(number, key) for number, key in enumerate(keys, 1)])
    for wanted in (1, 5, 32, 100):
        assert len(await one.due(wanted)) == min(wanted, len(keys))
        assert len(await one.due(wanted, newest_first=True)) == min(wanted, len(keys))
