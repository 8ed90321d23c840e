"""A replay and what people decided: skipped stays skipped, edited stays edited, live events go first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outbox.model.dead_letters import Action
from outbox.model.delivery import OrderPolicy
from outbox.model.replay import both, type_patterns
from outbox.postgres.replay import ReplaySession
from tests.kit.inbox import ended
from tests.kit.parked import DEAD, DOUBT, RETRY, Desk
from tests.kit.replays import EVERYTHING, MOST, emit, had, replay


@pytest.fixture
def order() -> OrderPolicy:
    return OrderPolicy(on_stale="skip")


async def _parked(desk: Desk, key: str, state: str) -> str:
    """Return an event that waits for a person."""
    (one,) = await emit(desk.inbox, 1, key=key)
    if state == "refused":
        await desk.inbox.accept(replace(one, refusal="no envelope"))
        return one.message_id
    await desk.inbox.accept(one)
    (due,) = await desk.inbox.due()
    await desk.inbox.begin(due)
    await desk.inbox.settle(ended(due, DEAD if state == "dead" else DOUBT))
    return one.message_id


async def test_what_was_skipped_or_noted_as_applied_is_left_out_and_counted_unless_it_is_asked_for(
    desk: Desk, replays: ReplaySession
) -> None:
    (applied,) = await had(desk.inbox, 1, key="applied")
    earlier, later = await emit(desk.inbox, 2, key="stale")
    await desk.inbox.accept(later)
    assert await desk.inbox.apply_all() == [later.message_id]
    await desk.inbox.accept(earlier)
    skipped, discarded, happened = [await _parked(desk, state, state) for state in ("dead", "refused", "doubt")]
    await desk.resolve(Action.SKIP, skipped)
    await desk.resolve(Action.DISCARD, discarded)
    await desk.resolve(Action.HAPPENED, happened)

    look = await replays.candidates(EVERYTHING, 0)
    assert (look.by_type, look.looked_at) == ({"order.confirmed": 2}, 6)
    assert look.left_out == {"skipped": 1, "discarded": 1, "stale": 1, "happened": 1}
    number = await replay(replays)
    assert await desk.inbox.apply_all() == [applied.message_id, later.message_id]
    assert (await replays.entries(1))[0].replayed == 2

    look = await replays.candidates(replace(EVERYTHING, with_skipped=True), 0)
    assert (look.by_type, look.left_out) == ({"order.confirmed": 5}, {"happened": 1})
    look = await replays.candidates(replace(EVERYTHING, with_happened=True), 0)
    assert look.left_out == {"skipped": 1, "discarded": 1, "stale": 1}
    assert await replay(replays, replace(EVERYTHING, with_skipped=True, with_happened=True)) > number
    everything = [applied.message_id, earlier.message_id, later.message_id, skipped, discarded, happened]
    assert sorted(await desk.inbox.apply_all()) == sorted(everything)
    # The newest of each was applied by the replay, which nobody has decided against.
    assert (await replays.candidates(EVERYTHING, 0)).by_type == {"order.confirmed": 6}


async def test_a_step_that_finds_only_what_is_left_out_goes_on_behind_it(desk: Desk, replays: ReplaySession) -> None:
    for number in range(3):
        await desk.resolve(Action.SKIP, await _parked(desk, f"k{number}", "dead"))
    (applied,) = await had(desk.inbox, 1)
    await replay(replays, most=1)
    assert await desk.inbox.apply_all() == [applied.message_id]
    assert [(one.looked_at, one.replayed) for one in await replays.entries(1)] == [(4, 1)]


async def test_what_was_edited_is_replayed_as_it_was_edited_and_the_audit_says_so(
    desk: Desk, replays: ReplaySession
) -> None:
    await had(desk.inbox, 1, key="as it came")
    edited = await _parked(desk, "k", "dead")
    await desk.resolve(Action.EDIT, edited, body=b'{"amount":"2"}')
    assert await desk.inbox.apply_all() == [edited]
    assert (await replays.candidates(EVERYTHING, 0)).edited == 1

    for _ in range(2):
        number = await replay(replays)
        bodies = {one.message_id: one.body for one in await desk.inbox.due() if one.generation == number}
        assert bodies.pop(edited) == b'{"amount":"2"}'
        assert list(bodies.values()) == [b'{"n" : 1}']
        story = (await desk.session.stories(edited, flow=None))[-1]
        assert (story.generation, story.is_edited) == (number, True)
        (resolution,) = story.resolutions
        assert (resolution.action, resolution.who, resolution.body_sha256_after) == ("edit", "ann", story.body_sha256)
        assert resolution.why is not None
        assert resolution.why.startswith(f"replay {number} carries on the edit of delivery ")
        assert len(await desk.inbox.apply_all()) == 2


async def test_whoever_goes_on_has_the_rate_that_was_given_and_every_decision_is_written_down(
    desk: Desk, replays: ReplaySession
) -> None:
    await had(desk.inbox, 9)
    number = await replays.begin(EVERYTHING, who="ann", why="lost", rate_per_s=4.0)
    await replays.step(number, 4, MOST)
    assert await replays.resume(number, who="bob") == (4.0, 4)
    assert await replays.resume(number, who="eve", rate_per_s=2.0) == (2.0, 4)
    assert await replays.resume(number, who="bob") == (2.0, 4)
    for _ in range(2):
        progress = await replays.cancel(number, who="eve", why="a backup after all")
        assert (progress.state, progress.replayed) == ("cancelled", 4)
    assert (await replays.resume(number, who="bob"))[1] == 4
    (entry,) = await replays.entries(10)
    assert [(one.action, one.who, one.why) for one in entry.decisions] == [
        ("start", "ann", "lost"),
        ("resume", "bob", None),
        ("resume", "eve", None),
        ("resume", "bob", None),
        ("cancel", "eve", "a backup after all"),
    ]
    assert entry.started_at < entry.moved_at
    assert entry.ended_at is not None


async def test_a_replay_waits_while_enough_waits_for_its_calls_and_takes_no_more_room_than_there_is(
    desk: Desk, replays: ReplaySession
) -> None:
    for number in range(5):
        await had(desk.inbox, 1, key=f"k{number}")
    live = await emit(desk.inbox, 1, key="live")
    await desk.inbox.accept(*live)
    number = await replays.begin(EVERYTHING, who="ann", why="lost")

    progress = await replays.step(number, MOST, 3)
    assert (progress.replayed, progress.is_waiting) == (2, False)
    progress = await replays.step(number, MOST, 3)
    assert (progress.state, progress.replayed, progress.is_waiting) == ("running", 2, True)
    await desk.inbox.apply_all()
    progress = await replays.step(number, MOST, 3)
    assert (progress.state, progress.replayed, progress.is_waiting) == ("running", 5, False)
    await desk.inbox.apply_all()
    progress = await replays.step(number, MOST, 1)
    assert (progress.state, progress.replayed) == ("done", 6), (
        "the live one was applied meanwhile; the end needs no room"
    )


async def test_what_is_spread_over_the_time_to_come_takes_no_room_and_what_backs_off_does(desk: Desk) -> None:
    await desk.settled(DEAD, *range(1, 11))
    await desk.resolve(Action.RETRY, *(f"m{n}" for n in range(1, 11)), rate_per_s=0.1)
    assert await desk.inbox.session.waiting(100) == 1, "the first is due at once"
    await desk.settled(RETRY, 21, 22)
    await desk.settled(replace(DOUBT, delay_seconds=3600.0), 23)
    await desk.settled(DOUBT, 24)
    assert await desk.inbox.session.waiting(100) == 4, "a parked doubt waits for a person"
    assert await desk.inbox.session.waiting(3) == 3


async def test_of_types_that_a_flow_never_had_only_those_that_it_takes_are_missing(
    desk: Desk, replays: ReplaySession
) -> None:
    await emit(desk.inbox, 1, event_type="order.confirmed")
    await emit(desk.inbox, 1, event_type="invoice.confirmed")
    asked = type_patterns(["*.confirmed"])
    missing = replace(EVERYTHING, patterns=both(type_patterns(["order.#"]), asked), missing_only=True)
    assert (await replays.candidates(missing, 0)).by_type == {"order.confirmed": 1}
