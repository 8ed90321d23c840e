"""What a flow does when the order of a key cannot simply be kept, and that states have an order themselves."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

import asyncpg
import pytest

from outbox.model.delivery import TRANSITIONS, OrderPolicy, Settlement, State
from outbox.model.flow_policy import FlowPolicy
from outbox.postgres.inbox_store import InboxStore
from tests.kit.database import Database
from tests.kit.inbox import FLOW, LANES, Inbox, applied, arrival, ended

Opened = Callable[[OrderPolicy], AbstractAsyncContextManager[Inbox]]
IN_DOUBT = Settlement(State.IN_DOUBT, None, reason="no answer", reason_class="in_doubt")
REFUSED = Settlement(State.DEAD, is_failure=True, reason="422", reason_class="rejected")


@pytest.fixture
def opened(database: Database) -> Opened:
    @asynccontextmanager
    async def inbox_with(order: OrderPolicy) -> AsyncIterator[Inbox]:
        async with InboxStore(database.server, FlowPolicy(order)).session(FLOW) as session:
            await session.register(LANES)
            inbox = Inbox(session, database)
            await inbox.hold()
            yield inbox

    return inbox_with


async def _kill_the_first(inbox: Inbox) -> None:
    (first,) = await inbox.due()
    await inbox.begin(first)
    assert await inbox.settle(ended(first, REFUSED)) == {first.id}


async def _skip(database: Database, message_id: str) -> None:
    await database.rows(
        "select * from inbox.resolve($1, array(select id from inbox.delivery where message_id = $2), 'skip',"
        " 'ann', 'not needed', null, null, false, null)",
        FLOW,
        message_id,
    )


async def test_behind_a_dead_letter_its_key_waits(opened: Opened) -> None:
    async with opened(OrderPolicy(on_dead="block")) as inbox:
        await inbox.accept(arrival(1), arrival(2))
        await _kill_the_first(inbox)
        assert await inbox.apply_all() == []
        await inbox.accept(arrival(3))
        assert await inbox.states() == {"m1": "dead", "m2": "blocked", "m3": "blocked"}


async def test_a_key_goes_on_without_its_dead_letter_where_the_flow_says_so(opened: Opened) -> None:
    async with opened(OrderPolicy(on_dead="skip")) as inbox:
        await inbox.accept(arrival(1), arrival(2))
        await _kill_the_first(inbox)
        assert await inbox.apply_all() == ["m2"]
        await inbox.accept(arrival(3), arrival(4, refusal="no envelope"), arrival(5))
        assert await inbox.apply_all() == ["m3", "m5"]
        assert await inbox.states() == {
            "m1": "dead", "m2": "applied", "m3": "applied", "m4": "dead", "m5": "applied",
        }  # fmt: skip


async def test_what_is_parked_as_dead_without_a_call_lets_its_key_go_on_too(opened: Opened) -> None:
    async with opened(OrderPolicy(on_dead="skip")) as inbox:
        await inbox.accept(arrival(1), arrival(2))
        (first,) = await inbox.due()
        assert await inbox.park(first, State.DEAD) == {first.id}
        assert await inbox.apply_all() == ["m2"]


@pytest.mark.parametrize(
    ("order", "state", "then"),
    [
        (OrderPolicy(on_stale="park"), "dead", []),
        (OrderPolicy(on_stale="skip"), "skipped", ["m3"]),
        (OrderPolicy(on_stale="apply"), "ready", ["m1", "m3"]),
        (OrderPolicy(on_stale="park", on_dead="skip"), "dead", ["m3"]),
    ],
    ids=["park", "skip", "apply", "park and go on"],
)
async def test_a_stale_event_is_parked_skipped_or_applied_as_the_flow_says(
    opened: Opened, order: OrderPolicy, state: str, then: list[str]
) -> None:
    async with opened(order) as inbox:
        await inbox.accept(arrival(2))
        assert await inbox.apply_all() == ["m2"]
        counts = await inbox.accept(arrival(1), arrival(3))
        assert (await inbox.states())["m1"] == state
        told = (counts.accepted, counts.dead, counts.skipped)
        assert told == (2, int(state == "dead"), int(state == "skipped"))
        assert await inbox.apply_all() == then


async def test_a_stale_event_waits_for_the_call_that_overtook_it(opened: Opened) -> None:
    async with opened(OrderPolicy(on_stale="apply")) as inbox:
        await inbox.accept(arrival(2))
        (second,) = await inbox.due()
        await inbox.begin(second)
        await inbox.accept(arrival(1))
        assert await inbox.due() == []
        await inbox.settle(applied(second))
        assert await inbox.apply_all() == ["m1"]


@pytest.mark.parametrize("batches", [[[2, 5]], [[5, 2]], [[2], [5]], [[5], [2]]], ids=str)
async def test_what_comes_late_behind_a_dead_letter_is_not_overtaken(
    opened: Opened, database: Database, batches: list[list[int]]
) -> None:
    """The sixth was free to go, and the second is stale: neither of them may let the sixth go before the fifth."""
    async with opened(OrderPolicy(on_stale="park", on_dead="block")) as inbox:
        await inbox.accept(arrival(3))
        assert await inbox.apply_all() == ["m3"]
        await inbox.accept(arrival(6))
        for batch in batches:
            await inbox.accept(*map(arrival, batch))
        assert await inbox.states() == {"m3": "applied", "m6": "blocked", "m2": "dead", "m5": "blocked"}
        assert await inbox.apply_all() == []
        await _skip(database, "m2")
        assert await inbox.apply_all() == ["m5", "m6"]


@pytest.mark.parametrize("on_stale", ["park", "skip"])
async def test_a_later_event_that_was_never_sent_makes_nothing_stale(
    opened: Opened, database: Database, on_stale: Literal["park", "skip"]
) -> None:
    async with opened(OrderPolicy(on_stale=on_stale)) as inbox:
        await inbox.accept(arrival(5))
        (due,) = await inbox.due()
        await inbox.park(due, State.DEAD)
        await _skip(database, "m5")
        await inbox.accept(arrival(4))
        assert await inbox.apply_all() == ["m4"]


async def test_nothing_is_skipped_for_a_later_event_that_was_refused(opened: Opened, database: Database) -> None:
    async with opened(OrderPolicy(on_stale="skip", on_dead="block")) as inbox:
        await inbox.accept(arrival(5))
        await _kill_the_first(inbox)
        await inbox.accept(arrival(4))
        assert await inbox.states() == {"m5": "dead", "m4": "blocked"}, "it waits, and a person sees why"
        await _skip(database, "m5")
        assert await inbox.apply_all() == ["m4"]


@pytest.mark.parametrize(("later_ends_as", "goes"), [(REFUSED, ["m4"]), (IN_DOUBT, [])], ids=["refused", "in doubt"])
async def test_what_was_given_up_makes_an_earlier_event_stale_only_if_it_may_have_taken_effect(
    opened: Opened, database: Database, later_ends_as: Settlement, goes: list[str]
) -> None:
    async with opened(OrderPolicy(on_stale="skip")) as inbox:
        await inbox.accept(arrival(5))
        (later,) = await inbox.due()
        await inbox.begin(later)
        await inbox.settle(ended(later, later_ends_as))
        await _skip(database, "m5")
        await inbox.accept(arrival(4))
        assert await inbox.apply_all() == goes


async def test_the_database_knows_the_same_transitions_as_the_program(database: Database) -> None:
    text = await database.value(
        "select pg_get_triggerdef(oid) from pg_trigger where tgname = 'delivery_transition_is_known'"
    )
    known = {tuple(edge.split(">")) for edge in re.findall(r"'([a-z_]+>[a-z_]+)'", str(text))}
    assert known == {(one.value, other.value) for one, others in TRANSITIONS.items() for other in others}


async def test_not_even_the_owner_of_the_table_takes_back_an_effect(opened: Opened) -> None:
    async with opened(OrderPolicy()) as inbox:
        await inbox.accept(arrival(1))
        await inbox.apply_all()
        async with inbox.database.connection() as connection:
            with pytest.raises(asyncpg.CheckViolationError, match="cannot go from applied to ready"):
                await connection.execute("update inbox.delivery set state = 'ready', due_at = now(), settled_at = null")
