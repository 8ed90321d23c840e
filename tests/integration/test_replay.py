"""Applying events again: only what is wanted, in order, written down, and never twice by an interruption."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.inbox.decide import idempotency_key
from outbox.model.errors import Misconfigured
from outbox.model.replay import both, type_patterns
from outbox.model.unrouted import matches
from outbox.postgres.replay import ReplaySession, replay_session
from tests.kit.database import Database
from tests.kit.inbox import FLOW, Inbox, applied
from tests.kit.replays import EVERYTHING, MOST, REMEMBERED_SECONDS, emit, had, replay


async def test_what_a_flow_has_applied_is_applied_again_in_order_with_the_same_payload(
    inbox: Inbox, replays: ReplaySession
) -> None:
    arrivals = await had(inbox, 7)
    look = await replays.candidates(EVERYTHING, 0)
    assert look.by_type == {"order.confirmed": 7}
    assert await inbox.due() == [], "looking has changed nothing"
    # In steps that are cut short, too.
    number = await replay(replays, most=3)
    due = await inbox.due()
    assert [(one.message_id, one.generation, one.body) for one in due] == [
        (arrivals[0].message_id, number, b'{"n" : 1}')
    ], "the others are behind it"
    assert await inbox.apply_all() == [one.message_id for one in arrivals]
    assert [entry.replayed for entry in await replays.entries(10)] == [7]


async def test_a_replay_has_keys_of_its_own_and_a_message_that_comes_again_is_still_a_duplicate(
    inbox: Inbox, replays: ReplaySession
) -> None:
    arrivals = await had(inbox, 1)
    number = await replay(replays)
    (due,) = await inbox.due()
    keys = {idempotency_key(FLOW, due.message_id, 0, generation) for generation in (0, number, number + 1)}
    assert len(keys) == 3
    counts = await inbox.accept(*arrivals)
    assert (counts.accepted, counts.duplicates) == (0, 1)


async def test_only_the_types_keys_and_times_that_are_asked_for_are_replayed(
    inbox: Inbox, replays: ReplaySession
) -> None:
    await had(inbox, 2, key="a")
    await had(inbox, 3, key="b")
    await had(inbox, 4, key="a", event_type="order.cancelled")
    hour = timedelta(hours=1)
    now = datetime.now(UTC)
    for selection, by_type in (
        (replace(EVERYTHING, key="a"), {"order.confirmed": 2, "order.cancelled": 4}),
        (replace(EVERYTHING, patterns=type_patterns(["*.confirmed"]), on_stale="apply"), {"order.confirmed": 5}),
        (replace(EVERYTHING, patterns=type_patterns(["order"])), {}),
        (replace(EVERYTHING, since=now - hour, until=now + hour, key="b"), {"order.confirmed": 3}),
        (replace(EVERYTHING, since=now + hour), {}),
        (replace(EVERYTHING, until=now - hour), {}),
    ):
        assert (await replays.candidates(selection, 0)).by_type == by_type


async def test_what_is_on_its_way_parked_or_not_published_is_left_alone(inbox: Inbox, replays: ReplaySession) -> None:
    waiting = await emit(inbox, 2, key="w")
    await inbox.accept(*waiting)
    await inbox.accept(*(replace(one, refusal="no envelope") for one in await emit(inbox, 1, key="d")))
    await emit(inbox, 1, key="never had")
    await inbox.database.rows("insert into outbox.event (type, key, payload) values ('order.confirmed', 'new', '{}')")
    assert (await replays.candidates(EVERYTHING, 0)).by_type == {}
    missing = replace(EVERYTHING, missing_only=True)
    assert (await replays.candidates(missing, 0)).by_type == {"order.confirmed": 1}
    await replay(replays, missing)
    assert [one.generation for one in await inbox.due() if one.key == "never had"] == [0]


async def test_an_event_that_is_replayed_goes_before_later_ones_that_wait(inbox: Inbox, replays: ReplaySession) -> None:
    first = await had(inbox, 2)
    later = await emit(inbox, 1)
    await inbox.accept(*later)
    await replay(replays)
    assert await inbox.apply_all() == [one.message_id for one in (*first, *later)]


async def test_an_interrupted_replay_goes_on_where_it_was_and_a_second_one_is_refused(
    inbox: Inbox, replays: ReplaySession, database: Database
) -> None:
    await had(inbox, 9)
    number = await replays.begin(EVERYTHING, who="ann", why="x")
    assert (await replays.step(number, 4, MOST)).replayed == 4
    with pytest.raises(Misconfigured, match=f"outbox replay resume {number}"):
        await replays.begin(EVERYTHING, who="bob", why="y")
    async with replay_session(database.server, REMEMBERED_SECONDS) as another:
        while (progress := await another.step(number, 4, MOST)).state == "running":
            pass
    assert (progress.state, progress.replayed) == ("done", 9)
    assert len(await inbox.apply_all()) == 9
    assert await replay(replays) > number, "the next one is another generation"


async def test_a_cancelled_replay_goes_no_further_and_what_it_has_begun_is_applied(
    inbox: Inbox, replays: ReplaySession
) -> None:
    await had(inbox, 9)
    number = await replays.begin(EVERYTHING, who="ann", why="x")
    await replays.step(number, 4, MOST)
    assert (await replays.cancel(number, who="bob", why="enough")).state == "cancelled"
    assert (await replays.step(number, 4, MOST)).replayed == 4
    assert len(await inbox.apply_all()) == 4
    with pytest.raises(Misconfigured, match="there is no replay 99"):
        await replays.cancel(99, who="bob", why="x")


async def test_beyond_what_retention_has_kept_it_says_so(inbox: Inbox, replays: ReplaySession) -> None:
    await had(inbox, 1)
    long_ago = datetime.now(UTC) - timedelta(days=365)
    assert not (await replays.horizon()).refuses(long_ago), "nothing has been removed yet"
    async with inbox.database.connection() as connection:
        await connection.execute("update outbox.partition set closed_at = now(), sealed_by = '3', emptied_at = now()")
    horizon = await replays.horizon()
    assert horizon.refuses(long_ago)
    assert not horizon.refuses(datetime.now(UTC))
    assert not horizon.refuses(None)


async def test_one_step_looks_at_no_more_than_it_may(inbox: Inbox) -> None:
    await had(inbox, 5)
    row = (
        await inbox.database.rows(
            "select count(*) as found, max(looked_up_to) as upto"
            " from inbox.replayable($1, array['.*'], null, null, null, false, false, false, 'park', 0, 1000, 2)",
            FLOW,
        )
    )[0]
    assert (row["found"], row["upto"]) == (2, 2)


async def test_what_is_being_applied_now_ends_before_its_replay_begins(inbox: Inbox, replays: ReplaySession) -> None:
    await had(inbox, 1)
    later = await emit(inbox, 1)
    await inbox.accept(*later)
    (calling,) = await inbox.due()
    await inbox.begin(calling)
    await replay(replays)
    assert await inbox.due() == []
    await inbox.settle(applied(calling))
    (replayed,) = await inbox.due()
    assert replayed.generation > 0


_WORD = st.sampled_from(["order", "created", "a-b", "x_1"])


@given(
    pattern=st.lists(_WORD | st.sampled_from(["*", "#"]), min_size=1, max_size=5).map(".".join),
    event_type=st.lists(_WORD, min_size=1, max_size=5).map(".".join),
)
def test_a_pattern_means_what_it_means_to_the_broker(pattern: str, event_type: str) -> None:
    (expression,) = type_patterns([pattern])
    assert bool(re.search(expression, f".{event_type}")) == matches(pattern, event_type)


@given(
    patterns=st.tuples(*[st.lists(_WORD | st.sampled_from(["*", "#"]), min_size=1, max_size=5).map(".".join)] * 2),
    event_type=st.lists(_WORD, min_size=1, max_size=5).map(".".join),
)
def test_two_patterns_together_mean_the_types_that_match_both(patterns: tuple[str, str], event_type: str) -> None:
    (expression,) = both(type_patterns(patterns[:1]), type_patterns(patterns[1:]))
    assert bool(re.search(expression, f".{event_type}")) == all(matches(one, event_type) for one in patterns)
