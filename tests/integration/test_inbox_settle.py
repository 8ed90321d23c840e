"""Beginning and settling: fenced by the lane's epoch and the delivery's state, in order for the key."""

from __future__ import annotations

import asyncpg
import pytest

from outbox.model.circuit import Sign, Signal
from outbox.model.delivery import Settlement, State
from outbox.postgres.inbox_store import InboxStore
from tests.kit.database import Database
from tests.kit.inbox import FLOW, HASH, Inbox, applied, arrival, ended

RETRY = Settlement(State.RETRY, 0.0, is_failure=True, reason="no", reason_class="retry")
UNKNOWN = Settlement(State.IN_DOUBT, 0.0, reason="no answer", reason_class="unknown")
DEAD = Settlement(State.DEAD, is_failure=True, reason="never", reason_class="rejected")


async def test_applying_is_written_with_attempt_hash_and_time_before_anything_is_sent(inbox: Inbox) -> None:
    await inbox.accept(arrival(1))
    (due,) = await inbox.due()
    assert due.sent_age_seconds is None
    assert await inbox.begin(due) == {due.id: 1}
    row = (await inbox.database.rows("select * from inbox.delivery"))[0]
    assert (row["state"], row["attempt"], row["request_sha256"], row["lane_epoch"]) == ("applying", 1, HASH, due.epoch)
    assert row["first_sent_at"] is not None
    assert await inbox.due() == [], "what is being called is not due"
    assert await inbox.begin(due) == {}, "and cannot be begun twice"


async def test_an_applied_delivery_wakes_the_next_of_its_key_only(inbox: Inbox) -> None:
    await inbox.accept(arrival(1), arrival(2), arrival(3), arrival(4, "other"), arrival(5, "other"))
    assert [one.message_id for one in await inbox.due()] == ["m1", "m4"]
    first = (await inbox.due())[0]
    await inbox.begin(first)
    await inbox.settle(applied(first, "CRM-1"))
    assert await inbox.states() == {"m1": "applied", "m2": "ready", "m3": "blocked", "m4": "ready", "m5": "blocked"}
    assert await inbox.database.value("select external_id from inbox.delivery where message_id = 'm1'") == "CRM-1"


@pytest.mark.parametrize("character", ["\0", "\ud800"])
async def test_an_answer_that_cannot_be_stored_as_it_is_ends_no_process(inbox: Inbox, character: str) -> None:
    await inbox.accept(arrival(1, "a"), arrival(2, "b"))
    first, second = await inbox.due()
    await inbox.begin(first, second)
    odd = f"7{character}"
    doubt = Settlement(State.IN_DOUBT, 0.0, reason=odd, reason_class="accepted", job=odd)
    assert await inbox.settle(applied(first, odd), ended(second, doubt)) == {first.id, second.id}
    await inbox.session.tell_circuit([(second.id, Sign(Signal.STOP, odd))])
    rows = await inbox.database.rows("select state, external_id, job, reason from inbox.delivery order by id")
    assert [tuple(row) for row in rows] == [("applied", None, None, None), ("in_doubt", None, None, "7\ufffd")]


async def test_a_retry_comes_due_after_its_delay_by_the_databases_clock_and_keeps_its_place(inbox: Inbox) -> None:
    await inbox.accept(arrival(1), arrival(2))
    (due,) = await inbox.due()
    await inbox.begin(due)
    await inbox.settle(ended(due, Settlement(State.RETRY, 3600.0, is_failure=True, reason="no", reason_class="retry")))
    assert await inbox.due() == []
    assert await inbox.states() == {"m1": "retry", "m2": "blocked"}
    await inbox.database.value("update inbox.delivery set due_at = now() where message_id = 'm1' returning 1")
    (again,) = await inbox.due()
    assert (again.attempt, again.failures, again.request_sha256) == (1, 1, HASH)
    assert await inbox.apply_all() == ["m1", "m2"]


async def test_a_call_that_never_left_leaves_nothing_to_be_in_doubt_about(inbox: Inbox) -> None:
    await inbox.accept(arrival(1))
    (due,) = await inbox.due()
    await inbox.begin(due)
    down = Settlement(State.RETRY, 0.0, reason="refused", reason_class="target_down")
    await inbox.settle(ended(due, down, is_unsent=True))
    (again,) = await inbox.due()
    assert (again.failures, again.sent_age_seconds, again.request_sha256) == (0, None, None)


async def test_a_later_call_that_never_left_does_not_wash_out_an_earlier_one_that_did(inbox: Inbox) -> None:
    await inbox.accept(arrival(1))
    (due,) = await inbox.due()
    await inbox.begin(due)
    await inbox.settle(ended(due, UNKNOWN))
    (due,) = await inbox.due()
    await inbox.begin(due)
    down = Settlement(State.RETRY, 0.0, reason="refused", reason_class="target_down")
    await inbox.settle(ended(due, down, is_unsent=True))
    (again,) = await inbox.due()
    assert again.request_sha256 == HASH
    assert again.sent_age_seconds is not None


async def test_another_request_is_never_sent_under_a_key_that_was_used(inbox: Inbox) -> None:
    await inbox.accept(arrival(1))
    (due,) = await inbox.due()
    await inbox.begin(due)
    await inbox.settle(ended(due, UNKNOWN))
    (due,) = await inbox.due()
    assert await inbox.begin(due, sha256=b"x" * 32) == {}
    assert due.id in await inbox.begin(due)


async def test_a_dead_letter_and_a_doubt_block_their_key_and_no_other(inbox: Inbox) -> None:
    await inbox.accept(arrival(1, "a"), arrival(2, "a"), arrival(3, "b"), arrival(4, "b"), arrival(5, "c"))
    dues = {one.message_id: one for one in await inbox.due()}
    await inbox.begin(*dues.values())
    parked = Settlement(State.IN_DOUBT, None, reason="ask a person", reason_class="in_doubt")
    await inbox.settle(ended(dues["m1"], DEAD), ended(dues["m3"], parked), applied(dues["m5"]))
    assert await inbox.states() == {"m1": "dead", "m2": "blocked", "m3": "in_doubt", "m4": "blocked", "m5": "applied"}
    assert await inbox.due() == []
    await inbox.accept(arrival(6, "a"), arrival(7, "b"), arrival(8, "c"))
    assert [one.message_id for one in await inbox.due()] == ["m8"]


async def test_a_result_of_an_old_epoch_is_void(inbox: Inbox, database: Database) -> None:
    await inbox.accept(arrival(1), arrival(2))
    (due,) = await inbox.due()
    await inbox.begin(due)
    await database.value("update inbox.lane set leased_until = '-infinity' where owner = 'me' returning 1")
    async with InboxStore(database.server).session(FLOW) as session:
        heir = Inbox(session, database, "heir")
        await database.value("delete from inbox.consumer returning 1")
        assert due.lane in await heir.hold()
        (inherited,) = await heir.due()
        assert (inherited.state, inherited.epoch) == (State.IN_DOUBT, due.epoch + 1)
        assert await inbox.settle(applied(due)) == set(), "the zombie comes too late"
        assert await heir.apply_all() == ["m1", "m2"]
        assert await inbox.settle(applied(due)) == set()
        assert await inbox.begin(due) == {}
    log = await database.rows("select attempt, outcome from inbox.attempt where delivery_id = $1 order by 1", due.id)
    assert [tuple(row) for row in log] == [(1, "unknown"), (2, "applied")]


async def test_only_the_owner_of_the_lane_settles_begins_and_parks(inbox: Inbox) -> None:
    await inbox.accept(arrival(1))
    (due,) = await inbox.due()
    stranger = Inbox(inbox.session, inbox.database, "stranger")
    assert await stranger.begin(due) == {}
    assert await stranger.park(due, State.DEAD) == set()
    await inbox.begin(due)
    assert await stranger.settle(applied(due)) == set()
    assert await inbox.settle(applied(due)) == {due.id}


async def test_a_result_settles_only_a_call_that_is_under_way(inbox: Inbox) -> None:
    await inbox.accept(arrival(1))
    (due,) = await inbox.due()
    assert await inbox.settle(applied(due)) == set(), "never begun"
    await inbox.begin(due)
    assert await inbox.settle(applied(due)) == {due.id}
    assert await inbox.settle(ended(due, DEAD)) == set(), "already settled"
    assert await inbox.states() == {"m1": "applied"}


async def test_parking_without_a_call_is_dead_when_nothing_was_sent_and_in_doubt_when_something_was(
    inbox: Inbox,
) -> None:
    await inbox.accept(arrival(1, "a"), arrival(2, "b"))
    unsent, sent = await inbox.due()
    await inbox.begin(sent)
    await inbox.settle(ended(sent, UNKNOWN))
    (sent,) = [one for one in await inbox.due() if one.id == sent.id]
    assert await inbox.park(unsent, State.IN_DOUBT) == set(), "nothing was sent: there is no doubt"
    assert await inbox.park(sent, State.DEAD) == set(), "something was sent: it may have been applied"
    assert await inbox.park(unsent, State.DEAD) == {unsent.id}
    assert await inbox.park(sent, State.IN_DOUBT) == {sent.id}
    assert await inbox.due() == [], "parked means that only a person moves it"


@pytest.mark.parametrize(
    "change",
    [
        "state = 'finished'",
        "state = 'applying'",
        "state = 'applied'",
        "state = 'dead', settled_at = now()",
        "state = 'in_doubt'",
        "state = 'retry', reason = 'r', reason_class = 'c', due_at = null",
        "state = 'blocked'",
        "due_at = null",
        "flow = 'nobody'",
    ],
)
async def test_an_impossible_delivery_is_impossible(inbox: Inbox, change: str) -> None:
    await inbox.accept(arrival(1, None))
    async with inbox.database.connection() as connection:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await connection.execute(f"update inbox.delivery set {change}")
