"""What the inbox keeps of calls whose end nobody knows: asked about, sent again under the same name, or begun anew."""

from __future__ import annotations

from dataclasses import replace

from outbox.model.delivery import Settlement, State
from outbox.model.inbox import Beginning, CallKind, DueDelivery, Parking
from tests.kit.inbox import HASH, Inbox, arrival, ended

LATER = Settlement(State.IN_DOUBT, 0.0, reason="no answer", reason_class="unknown")
ANEW = Settlement(State.READY, 0.0, starts_anew=True)


async def doubtful(inbox: Inbox, *, reference: str | None = "R-1") -> DueDelivery:
    """Make a delivery whose call may have taken effect."""
    await inbox.accept(arrival(1))
    (due,) = await inbox.due()
    await inbox.begin(due, reference=reference)
    await inbox.settle(ended(due, LATER))
    (due,) = await inbox.due()
    return due


async def test_what_is_proven_absent_is_as_if_it_was_never_sent_and_gets_another_key(inbox: Inbox) -> None:
    due = await doubtful(inbox)
    assert (due.state, due.reference, due.key_number) == (State.IN_DOUBT, "R-1", 0)
    assert due.last_sent_age_seconds is not None
    asked = Beginning(due.id, due.epoch, CallKind.LOOK_UP)
    assert await inbox.begin_as(asked) == {due.id: 2}
    assert await inbox.settle(ended(due, ANEW, kind=CallKind.LOOK_UP)) == {due.id}
    (again,) = await inbox.due()
    assert (again.state, again.sent_age_seconds, again.request_sha256) == (State.READY, None, None)
    assert (again.reference, again.key_number) == (None, 1)
    assert await inbox.begin(again, sha256=b"x" * 32) == {again.id: 3}
    rows = await inbox.database.rows("select call from inbox.attempt order by attempt")
    assert [row["call"] for row in rows] == ["send", "look_up"]


async def test_the_target_is_waited_for_from_the_end_of_a_call_that_has_left(inbox: Inbox) -> None:
    await inbox.accept(arrival(1))
    (due,) = await inbox.due()
    for is_unsent, waits_from_its_end in ((False, True), (True, False)):
        await inbox.begin(due, reference="R-1")
        await inbox.database.rows("update inbox.delivery set last_sent_at = now() - interval '1 hour'")
        await inbox.settle(ended(due, LATER, is_unsent=is_unsent))
        (due,) = await inbox.due()
        assert due.last_sent_age_seconds is not None
        assert (due.last_sent_age_seconds < 600) == waits_from_its_end
    # A question is no call that could take effect.
    await inbox.begin_as(Beginning(due.id, due.epoch, CallKind.LOOK_UP))
    await inbox.settle(ended(due, LATER, kind=CallKind.LOOK_UP))
    (due,) = await inbox.due()
    assert due.last_sent_age_seconds is not None
    assert due.last_sent_age_seconds > 600


async def test_a_question_changes_nothing_of_what_was_sent_and_a_crash_in_it_leaves_the_doubt(inbox: Inbox) -> None:
    due = await doubtful(inbox)
    await inbox.begin_as(Beginning(due.id, due.epoch, CallKind.POLL))
    await inbox.database.rows("update inbox.lane set leased_until = '-infinity'")
    other = replace(inbox, me="other")
    await other.hold()
    (again,) = await other.due()
    assert (again.state, again.request_sha256, again.reference) == (State.IN_DOUBT, HASH, "R-1")


async def test_only_a_doubt_is_asked_about(inbox: Inbox) -> None:
    await inbox.accept(arrival(1))
    (due,) = await inbox.due()
    assert await inbox.begin_as(Beginning(due.id, due.epoch, CallKind.LOOK_UP)) == {}


async def test_another_request_leaves_only_under_the_same_reference_or_after_a_definite_failure(inbox: Inbox) -> None:
    due = await doubtful(inbox)
    other = Beginning(due.id, due.epoch, CallKind.SEND, b"x" * 32, "R-1")
    assert await inbox.begin_as(other) == {}
    assert await inbox.begin_as(replace(other, starts_anew=True)) == {}, "a doubt is no definite failure"
    assert await inbox.begin_as(replace(other, reference="R-2", may_differ=True)) == {}
    assert await inbox.begin_as(replace(other, may_differ=True)) == {due.id: 2}
    failed = Settlement(State.RETRY, 0.0, is_failure=True, reason="no", reason_class="retry")
    await inbox.settle(ended(due, failed))
    (due,) = await inbox.due()
    assert await inbox.begin_as(Beginning(due.id, due.epoch, CallKind.SEND, b"y" * 32, starts_anew=True)) == {due.id: 3}
    assert await inbox.database.value("select key_number from inbox.delivery") == 1


async def test_what_was_refused_for_certain_and_cannot_be_mapped_any_more_is_dead(inbox: Inbox) -> None:
    await inbox.accept(arrival(1))
    (due,) = await inbox.due()
    await inbox.begin(due, reference="R-1")
    await inbox.settle(ended(due, Settlement(State.RETRY, 0.0, True, reason="503", reason_class="retry")))
    (due,) = await inbox.due()
    assert await inbox.park(due, State.DEAD) == {due.id}
    assert await inbox.states() == {"m1": "dead"}


async def test_where_a_job_runs_is_kept_until_it_starts_anew(inbox: Inbox) -> None:
    await inbox.accept(arrival(1))
    (due,) = await inbox.due()
    await inbox.begin(due)
    await inbox.settle(ended(due, replace(LATER, job="/jobs/1")))
    (due,) = await inbox.due()
    assert due.job == "/jobs/1"
    await inbox.begin_as(Beginning(due.id, due.epoch, CallKind.POLL))
    await inbox.settle(ended(due, LATER, kind=CallKind.POLL))
    (due,) = await inbox.due()
    assert due.job == "/jobs/1"
    await inbox.begin_as(Beginning(due.id, due.epoch, CallKind.POLL))
    failed = Settlement(State.RETRY, 0.0, is_failure=True, reason="no", reason_class="retry", starts_anew=True)
    await inbox.settle(ended(due, failed, kind=CallKind.POLL))
    (due,) = await inbox.due()
    assert (due.job, due.key_number, due.sent_age_seconds) == (None, 1, None)


async def test_a_delivery_that_is_too_early_to_ask_about_waits(inbox: Inbox) -> None:
    due = await doubtful(inbox)
    waiting = Parking(due.id, due.epoch, State.IN_DOUBT, "too early", "in_doubt", 3600.0)
    assert await inbox.session.park(inbox.me, [waiting]) == {due.id}
    assert await inbox.due() == []
    assert await inbox.database.value("select due_at > now() from inbox.delivery")
