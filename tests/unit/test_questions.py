"""What an answer to a question makes of a delivery in doubt: about a record, or about a job."""

from __future__ import annotations

import pytest

from outbox.model.backoff import Backoff
from outbox.model.delivery import RetryPolicy, Settlement, State, settle, settle_look_up, settle_poll
from outbox.model.outcome import (
    Absent,
    Accepted,
    Ambiguous,
    Applied,
    Configuration,
    NotTold,
    Outcome,
    Present,
    Rejected,
    Retry,
    TargetDown,
    Throttled,
    Unknown,
)
from outbox.model.recovery import AsyncJob

# Pauses of 1, 2, 4, 8, 10, 10, … seconds with a jitter of 1; the third failure is the last.
POLICY = RetryPolicy(attempts=3, backoff=Backoff(first_seconds=1.0, max_seconds=10.0))


def test_a_job_that_the_target_has_taken_is_asked_about_again_and_again() -> None:
    job = AsyncJob(window_seconds=3600, poll_seconds=7)
    taken = settle(Accepted("/jobs/1"), attempt=1, failures=0, policy=POLICY, jitter=1.0, recovery=job)
    assert (taken.state, taken.delay_seconds, taken.job) == (State.IN_DOUBT, 7, "/jobs/1")
    without = settle(Accepted(), attempt=1, failures=0, policy=POLICY, jitter=1.0, recovery=job)
    assert (without.state, without.delay_seconds) == (State.IN_DOUBT, None)


POLLED: list[tuple[Outcome, State, float | None, bool]] = [
    (Applied("X"), State.APPLIED, None, False),
    (Rejected("failed"), State.DEAD, None, False),
    (Retry("failed, try again"), State.RETRY, 1.0, True),
    (Accepted(), State.IN_DOUBT, 7.0, False),
    (Accepted("/jobs/2"), State.IN_DOUBT, 7.0, False),
    (Throttled("slow", 60.0), State.IN_DOUBT, 60.0, False),
    (TargetDown("away"), State.IN_DOUBT, 8.0, False),
    (Configuration("401"), State.IN_DOUBT, 10.0, False),
    (Unknown("no answer"), State.IN_DOUBT, 8.0, False),
]


@pytest.mark.parametrize(("outcome", "state", "delay_seconds", "starts_anew"), POLLED)
def test_only_what_is_said_of_a_job_ends_its_doubt(
    outcome: Outcome, state: State, delay_seconds: float | None, starts_anew: bool
) -> None:
    settlement = settle_poll(
        outcome,
        job="/jobs/1",
        sent_age_seconds=60.0,
        recovery=AsyncJob(3600, poll_seconds=7),
        attempt=4,
        failures=0,
        policy=POLICY,
        jitter=1.0,
    )
    assert (settlement.state, settlement.delay_seconds, settlement.starts_anew) == (state, delay_seconds, starts_anew)
    if isinstance(outcome, Accepted):
        assert settlement.job == (outcome.job_url or "/jobs/1")
    if state is State.IN_DOUBT:
        assert not settlement.is_failure


def test_a_look_up_ends_the_doubt_when_the_target_can_tell() -> None:
    def judged(answer: Present | Absent | Ambiguous | NotTold) -> Settlement:
        return settle_look_up(answer, attempt=4, failures=0, policy=POLICY, jitter=1.0)

    assert judged(Present("X")) == Settlement(State.APPLIED, external_id="X")
    assert judged(Absent()) == Settlement(State.READY, 0.0, starts_anew=True)
    parked = judged(Ambiguous("two of them"))
    assert (parked.state, parked.delay_seconds) == (State.IN_DOUBT, None)
    assert "two of them" in (parked.reason or "")
    for outcome, delay_seconds in ((TargetDown("away"), 8.0), (Throttled("slow", 60.0), 60.0), (Retry("oops"), 1.0)):
        later = judged(NotTold(outcome))
        assert (later.state, later.delay_seconds) == (State.IN_DOUBT, delay_seconds)
        assert later.is_failure == isinstance(outcome, Retry)


def test_a_question_that_is_never_answered_usefully_is_for_a_person_in_the_end() -> None:
    last = POLICY.attempts - 1
    found = settle_look_up(NotTold(Retry("400")), attempt=9, failures=last, policy=POLICY, jitter=1.0)
    polled = settle_poll(
        Unknown("404", is_failure=True),
        job="/jobs/1",
        sent_age_seconds=60.0,
        recovery=AsyncJob(3600),
        attempt=9,
        failures=last,
        policy=POLICY,
        jitter=1.0,
    )
    for settlement in (found, polled):
        assert (settlement.state, settlement.delay_seconds, settlement.is_failure) == (State.IN_DOUBT, None, True)
        assert "the tries are used up: 4" in (settlement.reason or "")
    away = settle_look_up(NotTold(TargetDown("away")), attempt=9, failures=last, policy=POLICY, jitter=1.0)
    assert (away.delay_seconds is not None, away.is_failure) == (True, False), "an outage costs nothing"


@pytest.mark.parametrize(("sent_age_seconds", "is_asked_again"), [(99.0, True), (100.0, False)])
def test_a_job_that_is_never_over_is_for_a_person_in_the_end(sent_age_seconds: float, is_asked_again: bool) -> None:
    settlement = settle_poll(
        Accepted(),
        job="/jobs/1",
        sent_age_seconds=sent_age_seconds,
        recovery=AsyncJob(3600, longest_seconds=100),
        attempt=9,
        failures=0,
        policy=POLICY,
        jitter=1.0,
    )
    assert (settlement.state, settlement.job) == (State.IN_DOUBT, "/jobs/1")
    assert (settlement.delay_seconds is not None) == is_asked_again
    assert ("not over 100 s" in (settlement.reason or "")) != is_asked_again
