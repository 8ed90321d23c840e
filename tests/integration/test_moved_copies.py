"""The copy of a dead letter that somebody moved back to the flow's queue: a retry, where a retry is harmless."""

from __future__ import annotations

from dataclasses import replace

from outbox.model.dead_copies import Copy
from outbox.model.dead_letters import Action, Verdict
from outbox.model.delivery import Settlement, State
from tests.kit.inbox import arrival
from tests.kit.parked import DEAD, DOUBT_FOR_NOW, Desk

AGAIN = Settlement(State.DEAD, reason="again", reason_class="rejected")


async def test_a_copy_that_came_back_is_tried_again_once_and_only_for_its_latest_death(desk: Desk) -> None:
    await desk.settled(DEAD, 1)
    (number,) = await desk.ids("m1")
    first, second = (replace(arrival(1), copy=Copy(number, death, "m1")) for death in (1, 2))
    counts = await desk.inbox.accept(first, first)
    assert (counts.redriven, counts.duplicates, counts.accepted) == (1, 1, 0)
    assert await desk.audit() == [("m1", "redrive", "rabbitmq", None, "dead", "ready")]

    await desk.settle(AGAIN, 1)
    counts = await desk.inbox.accept(first)
    assert (counts.redriven, counts.duplicates) == (0, 1), "that one is outdated"
    counts = await desk.inbox.accept(second)
    assert (counts.redriven, await desk.inbox.states()) == (1, {"m1": "ready"})


async def test_the_copy_of_a_replayed_delivery_is_never_taken_for_the_event_itself(desk: Desk) -> None:
    await desk.settled(DEAD, 1)
    await desk.inbox.database.value("update inbox.delivery set generation = 7 returning 1")
    (number,) = await desk.ids("m1")
    counts = await desk.inbox.accept(replace(arrival(1), copy=Copy(number, 1, "m1")))
    assert (counts.redriven, counts.accepted) == (1, 0)
    counts = await desk.inbox.accept(replace(arrival(2, message_id="another"), copy=Copy(number, 2, "another")))
    assert counts.accepted == 1, "numbers alone prove nothing: after a restore they are given out again"


async def test_what_cannot_be_tried_again_stays_dead_and_gets_another_copy(desk: Desk) -> None:
    await desk.inbox.accept(arrival(0, None, message_id="sha256:x", refusal="not an envelope"))
    (letter,) = await desk.inbox.session.dead_letters("me", 10)
    await desk.inbox.session.dead_letters_published([letter])
    assert await desk.inbox.session.dead_letters("me", 10) == []
    back = replace(arrival(0, None, message_id="sha256:x", refusal="?"), copy=Copy(letter.id, 1, "sha256:x"))
    counts = await desk.inbox.accept(back)
    assert (counts.redriven, counts.kept_dead, counts.duplicates, counts.dead) == (0, 1, 1, 0)
    assert [one.id for one in await desk.inbox.session.dead_letters("me", 10)] == [letter.id]


async def test_what_may_have_taken_effect_is_not_tried_under_another_key_because_its_copy_was_moved(desk: Desk) -> None:
    await desk.inbox.accept(arrival(1))
    await desk.call(1, DOUBT_FOR_NOW, "unknown")
    await desk.call(1, DEAD, "rejected")
    (letter,) = await desk.inbox.session.dead_letters("me", 10)
    await desk.inbox.session.dead_letters_published([letter])
    counts = await desk.inbox.accept(replace(arrival(1), copy=Copy(letter.id, 1, "m1")))
    assert (counts.redriven, counts.kept_dead) == (0, 1)
    assert [one.id for one in await desk.inbox.session.dead_letters("me", 10)] == [letter.id], "it gets another copy"
    # A person who has looked into the target says so.
    assert await desk.resolve(Action.RETRY, "m1") == {"m1": Verdict.DONE}
