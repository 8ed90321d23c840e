"""A replay never leaves a key with an older state than it had."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outbox.model.dead_letters import Action, Decision, Verdict
from outbox.model.delivery import OrderPolicy, State
from outbox.model.replay import ReplayProgress, type_patterns
from outbox.postgres.dead_letters import dead_letter_session
from outbox.postgres.replay import ReplaySession
from tests.kit.inbox import Inbox
from tests.kit.replays import EVERYTHING, MOST, emit, had, replay


@pytest.fixture
def order() -> OrderPolicy:
    return OrderPolicy(on_dead="skip")


async def test_what_was_applied_while_a_replay_ran_is_applied_again_after_what_it_put_in(
    inbox: Inbox, replays: ReplaySession
) -> None:
    other = await had(inbox, 1, key="other")
    old = await had(inbox, 2)
    number = await replays.begin(EVERYTHING, who="ann", why="x")
    assert (await replays.step(number, 1, MOST)).replayed == 1, "it has not come to the key yet"
    await inbox.apply_all()
    meanwhile = await had(inbox, 1)
    last = await _to_the_end(replays, number)

    assert await inbox.apply_all() == [one.message_id for one in (*old, *meanwhile)]
    assert last.replayed == len([*other, *old, *meanwhile])


async def test_what_comes_behind_a_replay_by_itself_is_applied_once(inbox: Inbox, replays: ReplaySession) -> None:
    old = await had(inbox, 2)
    number = await replays.begin(EVERYTHING, who="ann", why="x")
    await replays.step(number, 1, MOST)
    waiting = await emit(inbox, 1)
    await inbox.accept(*waiting)
    assert (await _to_the_end(replays, number)).replayed == 2
    assert await inbox.apply_all() == [one.message_id for one in (*old, *waiting)]


async def test_what_would_put_a_key_back_to_an_older_state_is_left_out(inbox: Inbox, replays: ReplaySession) -> None:
    await had(inbox, 2, key="a")
    await had(inbox, 1, key="b")
    await had(inbox, 1, key="a", event_type="order.cancelled")
    selection = replace(EVERYTHING, patterns=type_patterns(["order.confirmed"]))
    look = await replays.candidates(selection, 0)
    assert (look.by_type, look.left_out) == ({"order.confirmed": 1}, {"overtaken": 2})
    await replay(replays, selection)
    assert [one.key for one in await inbox.due()] == ["b"]

    border = (await inbox.database.rows("select now() as at"))[0]["at"]
    await inbox.apply_all()
    await had(inbox, 1, key="b")
    until = replace(EVERYTHING, until=border)
    assert (await replays.candidates(until, 0)).left_out == {"overtaken": 1}
    whatever = replace(until, on_stale="apply")
    assert (await replays.candidates(whatever, 0)).left_out == {}


async def test_what_a_flow_never_had_is_judged_by_its_rule_for_what_comes_late(
    inbox: Inbox, replays: ReplaySession
) -> None:
    (never,) = await emit(inbox, 1)
    await had(inbox, 1)
    await replay(replays, replace(EVERYTHING, missing_only=True))
    assert (await inbox.states())[never.message_id] == "dead"


async def test_a_dead_letter_of_a_replay_is_not_tried_again_after_what_came_later(
    inbox: Inbox, replays: ReplaySession
) -> None:
    await had(inbox, 1)
    await replay(replays)
    (due,) = await inbox.due()
    assert await inbox.park(due, State.DEAD)
    await had(inbox, 1)
    async with dead_letter_session(inbox.database.server) as session:
        (told,) = await session.verdicts_of([due.id], Decision(Action.RETRY, "ann", "x"))
    assert told.verdict is Verdict.STALE


async def _to_the_end(replays: ReplaySession, number: int) -> ReplayProgress:
    while (progress := await replays.step(number, MOST, MOST)).state == "running":
        pass
    return progress
