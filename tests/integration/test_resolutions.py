"""What a person may decide about a parked delivery, what becomes of it and of its key, and what is refused."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from dataclasses import replace
from datetime import datetime

import pytest

from outbox.model.dead_copies import Copy
from outbox.model.dead_letters import Action, Verdict
from outbox.model.delivery import OrderPolicy, Settlement, State
from tests.kit.database import Database
from tests.kit.inbox import HASH, applied, arrival
from tests.kit.parked import DEAD, DOUBT, RETRY, Desk, desk_for

DONE = Verdict.DONE


async def test_a_retry_begins_anew_under_the_next_key_and_lets_the_blocked_follow_in_order(desk: Desk) -> None:
    await desk.settled(DEAD, 1, key="k")
    await desk.inbox.accept(arrival(2), arrival(3))
    assert await desk.inbox.due() == []
    assert await desk.resolve(Action.RETRY, "m1") == {"m1": DONE}

    assert await desk.inbox.states() == {"m1": "ready", "m2": "blocked", "m3": "blocked"}
    row = await desk.row("m1")
    assert (row["failures"], row["key_number"], row["attempt"], row["deaths"]) == (0, 1, 1, 1)
    assert {row[name] for name in ("first_sent_at", "last_sent_at", "request_sha256", "reference", "reason")} == {None}
    (due,) = await desk.inbox.due()
    assert await desk.inbox.begin(due, sha256=b"x" * 32) == {due.id: 2}, "another request may be sent"
    await desk.inbox.settle(applied(due))
    assert await desk.inbox.apply_all() == ["m2", "m3"]
    assert await desk.audit() == [("m1", "retry", "alice", "because", "dead", "ready")]


async def test_what_was_never_sent_has_used_no_key(desk: Desk) -> None:
    await desk.inbox.accept(arrival(1))
    (due,) = await desk.inbox.due()
    await desk.inbox.park(due, State.DEAD)
    assert await desk.resolve(Action.RETRY, "m1") == {"m1": DONE}
    assert (await desk.row("m1"))["key_number"] == 0


async def test_several_dead_of_one_key_are_tried_again_one_after_the_other(database: Database) -> None:
    async with desk_for(database, OrderPolicy(on_dead="skip")) as desk:
        for number in (1, 2, 3):
            await desk.settled(DEAD, number, key="k")
        await desk.inbox.accept(arrival(4))
        assert await desk.resolve(Action.RETRY, "m3", "m1") == {"m1": DONE, "m3": DONE}

        states = {"m1": "ready", "m2": "dead", "m3": "blocked", "m4": "blocked"}
        assert await desk.inbox.states() == states, "m4 was let go ahead and changes places with m1"
        assert await desk.inbox.apply_all() == ["m1", "m3", "m4"]


async def test_what_a_later_event_has_overtaken_is_tried_again_only_when_that_is_said(database: Database) -> None:
    async with desk_for(database, OrderPolicy(on_dead="skip")) as desk:
        await desk.settled(DEAD, 1, key="k")
        await desk.inbox.accept(arrival(2))
        (due,) = await desk.inbox.due()
        await desk.inbox.begin(due)
        assert await desk.resolve(Action.RETRY, "m1") == {"m1": Verdict.STALE}, "it may be taking effect now"
        assert await desk.resolve(Action.RETRY, "m1", even_stale=True) == {"m1": DONE}
        assert await desk.inbox.states() == {"m1": "blocked", "m2": "applying"}, "never two calls of one key"
        await desk.inbox.settle(applied(due))
        assert await desk.inbox.states() == {"m1": "ready", "m2": "applied"}

        await desk.settled(DEAD, 5, key="j")
        await desk.inbox.accept(arrival(6, "j"))
        assert await desk.inbox.apply_all() == ["m1", "m6"]
        assert await desk.resolve(Action.RETRY, "m5") == {"m5": Verdict.STALE}
        assert await desk.resolve(Action.RETRY, "m5", even_stale=True) == {"m5": DONE}
        assert await desk.inbox.apply_all() == ["m5"]


async def test_a_later_event_that_was_skipped_and_never_sent_has_overtaken_nobody(desk: Desk) -> None:
    await desk.settled(DEAD, 1, key="k")
    await desk.inbox.accept(arrival(2), arrival(3))
    assert await desk.resolve(Action.SKIP, "m2") == {"m2": DONE}
    assert await desk.resolve(Action.RETRY, "m1") == {"m1": DONE}
    assert await desk.inbox.apply_all() == ["m1", "m3"]


@pytest.mark.parametrize("action", [Action.RETRY, Action.EDIT, None])
async def test_an_earlier_event_that_waits_behind_a_dead_one_goes_first_when_that_is_tried_again(
    desk: Desk, action: Action | None
) -> None:
    await desk.inbox.accept(arrival(2))
    (due,) = await desk.inbox.due()
    await desk.inbox.park(due, State.DEAD)
    await desk.inbox.accept(arrival(1), arrival(3))
    assert await desk.inbox.states() == {"m2": "dead", "m1": "blocked", "m3": "blocked"}
    if action is None:
        await desk.inbox.accept(replace(arrival(2), copy=Copy(due.id, 1, "m2")))
    else:
        await desk.resolve(action, "m2", body=b"{}" if action is Action.EDIT else None, rate_per_s=0.01)
    assert await desk.inbox.states() == {"m1": "ready", "m2": "blocked", "m3": "blocked"}
    assert await desk.inbox.apply_all() == ["m1", "m2", "m3"]


async def test_an_edit_applies_another_body_and_keeps_what_came_over_the_wire(desk: Desk) -> None:
    await desk.settled(DEAD, 1)
    for body in (b'{"amount":"1"}', b'{"amount":"2"}'):
        assert await desk.resolve(Action.EDIT, "m1", body=body) == {"m1": DONE}
        (due,) = await desk.inbox.due()
        assert due.body == body
        await desk.settle(DEAD, 1)
    assert await desk.resolve(Action.RETRY, "m1") == {"m1": DONE}
    assert (await desk.inbox.due())[0].body == b'{"amount":"2"}', "a retry keeps the edit"

    rows = await desk.inbox.database.rows(
        "select body_sha256_before b, body_sha256_after a from inbox.resolution order by id"
    )
    digests = [hashlib.sha256(body).digest() for body in (b"{}", b'{"amount":"1"}', b'{"amount":"2"}')]
    assert [tuple(row) for row in rows] == [(digests[0], digests[1]), (digests[1], digests[2]), (None, None)]
    assert await desk.inbox.database.value("select body from inbox.message") == b"{}"


async def test_skipping_lets_the_key_go_on_whatever_held_it_up(desk: Desk) -> None:
    await desk.settled(DEAD, 1)
    await desk.settled(DOUBT, 2)
    await desk.settled(RETRY, 3)
    await desk.inbox.accept(*(arrival(n + 10, f"k{n}") for n in (1, 2, 3)))
    assert set((await desk.resolve(Action.SKIP, "m1", "m2", "m3")).values()) == {DONE}
    assert sorted(await desk.inbox.apply_all()) == ["m11", "m12", "m13"]
    assert {line[4] for line in await desk.audit()} == {"dead", "in_doubt", "retry"}
    assert (await desk.row("m1"))["reason"] == DEAD.reason, "why it was dead stays to be read"


async def test_only_what_never_was_an_effect_is_discarded(desk: Desk) -> None:
    await desk.inbox.accept(arrival(0, None, message_id="sha256:x", refusal="not an envelope: no sequence"))
    await desk.settled(DEAD, 1)
    verdicts = await desk.resolve(Action.RETRY, "sha256:x")
    assert verdicts == {"sha256:x": Verdict.NO_ENVELOPE}
    verdicts = await desk.resolve(Action.DISCARD, "sha256:x", "m1")
    assert verdicts == {"sha256:x": DONE, "m1": Verdict.WAS_SENT}
    assert await desk.inbox.states() == {"sha256:x": "skipped", "m1": "dead"}


async def test_a_doubt_is_ended_by_whoever_has_looked_into_the_target(desk: Desk) -> None:
    await desk.settled(DOUBT, 1, 2)
    await desk.inbox.accept(arrival(11, "k1"), arrival(12, "k2"))
    assert await desk.resolve(Action.RETRY, "m1") == {"m1": Verdict.IN_DOUBT}
    assert await desk.resolve(Action.HAPPENED, "m1", external_id="CRM-7") == {"m1": DONE}
    assert await desk.resolve(Action.NOT_HAPPENED, "m2") == {"m2": DONE}

    happened, absent = await desk.row("m1"), await desk.row("m2")
    assert (happened["state"], happened["external_id"], happened["request_sha256"]) == ("applied", "CRM-7", HASH)
    assert (absent["state"], absent["key_number"], absent["request_sha256"]) == ("ready", 1, None)
    assert sorted(await desk.inbox.apply_all()) == ["m11", "m12", "m2"]


async def test_what_is_dead_may_have_happened_all_the_same(desk: Desk) -> None:
    await desk.settled(DEAD, 1)
    assert await desk.resolve(Action.NOT_HAPPENED, "m1") == {"m1": Verdict.NOT_IN_DOUBT}
    assert await desk.resolve(Action.HAPPENED, "m1", external_id="by hand") == {"m1": DONE}
    assert await desk.inbox.states() == {"m1": "applied"}


@pytest.mark.parametrize("action", [Action.RETRY, Action.SKIP, Action.HAPPENED, Action.DISCARD, Action.NOT_HAPPENED])
async def test_nobody_decides_about_what_is_under_way_or_finished(desk: Desk, action: Action) -> None:
    await desk.inbox.accept(arrival(1, "a"), arrival(2, "b"))
    under_way, finished = await desk.inbox.due()
    await desk.inbox.begin(under_way, finished)
    await desk.inbox.settle(applied(finished))
    assert await desk.resolve(action, "m1", "m2") == {"m1": Verdict.UNDER_WAY, "m2": Verdict.FINISHED}
    assert await desk.audit() == []


async def test_a_payload_that_is_gone_is_given_by_an_edit(desk: Desk) -> None:
    await desk.inbox.accept(arrival(1))
    (due,) = await desk.inbox.due()
    await desk.inbox.park(due, State.DEAD)
    await desk.inbox.database.value("update inbox.delivery set reason_class = 'payload_gone' returning 1")
    assert await desk.resolve(Action.RETRY, "m1") == {"m1": Verdict.NO_PAYLOAD}
    assert await desk.resolve(Action.EDIT, "m1", body=b'{"a":1}') == {"m1": DONE}
    assert (await desk.inbox.due())[0].body == b'{"a":1}'


async def test_retries_are_spread_by_the_databases_clock_and_go_on_where_the_last_ones_end(desk: Desk) -> None:
    await desk.settled(DEAD, *range(1, 31))
    names = [f"m{n}" for n in range(1, 31)]
    for part in (names[:10], names[10:20], names[20:]):
        await desk.resolve(Action.RETRY, *part, rate_per_s=2)
    rows = await desk.inbox.database.rows("select due_at from inbox.delivery order by id")
    times: list[datetime] = [row["due_at"] for row in rows]
    gaps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(times)]
    assert gaps == pytest.approx([0.5] * 29)
    assert len(await desk.inbox.due()) < 10


async def test_of_two_operators_at_once_one_is_told_what_the_other_has_done(desk: Desk, database: Database) -> None:
    names = [f"m{n}" for n in range(1, 41)]
    await desk.settled(DEAD, *range(1, 41))
    async with desk_for(database) as other, asyncio.TaskGroup() as group:
        both = [
            group.create_task(desk.resolve(Action.RETRY, *names)),
            group.create_task(other.resolve(Action.RETRY, *reversed(names))),
        ]
    verdicts = sorted((set(task.result().values()) for task in both), key=str)
    assert verdicts == [{DONE}, {Verdict.NOT_DEAD}]
    assert len(await desk.audit()) == 40


async def test_a_running_consumer_and_a_person_never_both_have_a_delivery(desk: Desk) -> None:
    """Skipped between the fetch and the beginning of its call: the call must not leave."""
    await desk.settled(DEAD, 1)
    await desk.resolve(Action.RETRY, "m1")
    (due,) = await desk.inbox.due()
    assert await desk.resolve(Action.SKIP, "m1") == {"m1": DONE}
    assert await desk.inbox.begin(due) == {}


async def test_what_dies_again_is_counted_and_gets_another_copy(desk: Desk) -> None:
    await desk.settled(DEAD, 1)
    (letter,) = await desk.inbox.session.dead_letters("me", 10)
    await desk.inbox.session.dead_letters_published([letter])
    await desk.resolve(Action.RETRY, "m1")
    assert [tuple(row) for row in await desk.inbox.database.rows("select death, flow from inbox.outdated_copy")] == [
        (1, "orders")
    ]
    await desk.settle(Settlement(State.DEAD, reason="again", reason_class="rejected"), 1)
    (second,) = await desk.inbox.session.dead_letters("me", 10)
    assert (letter.deaths, second.deaths, second.reason) == (1, 2, "again")


async def test_a_decision_without_a_reason_is_refused_by_the_database_itself(desk: Desk) -> None:
    await desk.settled(DEAD, 1)
    with pytest.raises(Exception, match="resolution_says_why"):
        await desk.resolve(Action.SKIP, "m1", why=None)
    assert await desk.inbox.states() == {"m1": "dead"}
