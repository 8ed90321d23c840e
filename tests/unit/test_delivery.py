"""What each outcome makes of a delivery, and how long it waits: the table, case by case."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.model.backoff import Backoff
from outbox.model.delivery import RetryPolicy, Settlement, State, settle
from outbox.model.outcome import (
    OUTCOME_NAMES,
    Accepted,
    AlreadyApplied,
    Applied,
    Configuration,
    CredentialsExpired,
    Outcome,
    Rejected,
    Retry,
    StaleConflict,
    TargetDown,
    Throttled,
    Unknown,
    outcome_name,
)
from outbox.model.recovery import AsyncJob, IdempotencyKey, NoRecovery, RecoveryStrategy

# Pauses of 1, 2, 4, 8, 10, 10, … seconds with a jitter of 1; the third failure is the last.
POLICY = RetryPolicy(attempts=3, backoff=Backoff(first_seconds=1.0, max_seconds=10.0))

# Attempt 4 (its own pause is 8 s) of a message that has failed once itself (its second failure waits 2 s).
TABLE: list[tuple[Outcome, Settlement]] = [
    (Applied("X-1"), Settlement(State.APPLIED, external_id="X-1")),
    (Applied(), Settlement(State.APPLIED)),
    (AlreadyApplied("X-1"), Settlement(State.APPLIED, external_id="X-1")),
    (
        Accepted("/jobs/1"),
        Settlement(
            State.IN_DOUBT, reason="the target accepted the request for later (/jobs/1)", reason_class="accepted"
        ),
    ),
    (
        Accepted(),
        Settlement(
            State.IN_DOUBT, reason="the target accepted the request for later (no job address)", reason_class="accepted"
        ),
    ),
    (Rejected("no"), Settlement(State.DEAD, is_failure=True, reason="no", reason_class="rejected")),
    (StaleConflict("old"), Settlement(State.DEAD, is_failure=True, reason="old", reason_class="stale_conflict")),
    (Retry("oops"), Settlement(State.RETRY, 2.0, is_failure=True, reason="oops", reason_class="retry")),
    (Retry("oops", 60.0), Settlement(State.RETRY, 60.0, is_failure=True, reason="oops", reason_class="retry")),
    (Retry("oops", 0.1), Settlement(State.RETRY, 2.0, is_failure=True, reason="oops", reason_class="retry")),
    (Throttled("slow"), Settlement(State.RETRY, 8.0, reason="slow", reason_class="throttled")),
    (Throttled("slow", 60.0), Settlement(State.RETRY, 60.0, reason="slow", reason_class="throttled")),
    (TargetDown("away"), Settlement(State.RETRY, 8.0, reason="away", reason_class="target_down")),
    (TargetDown("away", 60.0), Settlement(State.RETRY, 60.0, reason="away", reason_class="target_down")),
    (CredentialsExpired("old"), Settlement(State.RETRY, 8.0, reason="old", reason_class="credentials_expired")),
    (Configuration("wrong"), Settlement(State.RETRY, 10.0, reason="wrong", reason_class="configuration")),
    (Unknown("silence"), Settlement(State.IN_DOUBT, 8.0, reason="silence", reason_class="unknown")),
]

texts = st.text(min_size=1, max_size=20)
delays = st.none() | st.floats(min_value=0, max_value=86_400)
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Applied, st.none() | texts),
    st.builds(AlreadyApplied, st.none() | texts),
    st.builds(Accepted, st.none() | texts),
    st.builds(Retry, texts, delays),
    st.builds(Throttled, texts, delays),
    st.builds(TargetDown, texts, delays),
    *(st.builds(kind, texts) for kind in (Rejected, StaleConflict, CredentialsExpired, Configuration, Unknown)),
)
policies = st.builds(
    RetryPolicy,
    st.integers(1, 1000),
    st.builds(Backoff, st.floats(0.001, 60), st.floats(60, 604_800)),
)


@pytest.mark.parametrize(("outcome", "settlement"), TABLE, ids=lambda value: repr(value)[:60])
def test_an_outcome_settles_a_delivery_as_the_table_says(outcome: Outcome, settlement: Settlement) -> None:
    assert settle(outcome, attempt=4, failures=1, policy=POLICY, jitter=1.0, recovery=NoRecovery()) == settlement


def test_the_table_has_every_outcome() -> None:
    assert {type(outcome) for outcome, _ in TABLE} == set(get_args(Outcome))
    assert [outcome_name(outcome) for outcome, _ in TABLE if outcome_name(outcome) not in OUTCOME_NAMES] == []


def test_the_last_failure_of_a_message_is_its_end_whatever_the_target_asks_for() -> None:
    settlement = settle(Retry("oops", 60.0), attempt=9, failures=2, policy=POLICY, jitter=1.0, recovery=NoRecovery())

    assert settlement == Settlement(State.DEAD, is_failure=True, reason="oops", reason_class="retry")


@given(
    outcome=outcomes,
    attempt=st.integers(1, 10**9),
    failures=st.integers(0, 1000),
    policy=policies,
    jitter=st.floats(0, 1),
    recovery=st.sampled_from([NoRecovery(), IdempotencyKey(60), IdempotencyKey(60, caches_errors=True), AsyncJob(60)]),
    was_in_doubt=st.booleans(),
)
def test_a_settlement_is_one_that_the_database_takes(
    outcome: Outcome,
    attempt: int,
    failures: int,
    policy: RetryPolicy,
    jitter: float,
    recovery: RecoveryStrategy,
    was_in_doubt: bool,
) -> None:
    settlement = settle(
        outcome,
        attempt=attempt,
        failures=failures,
        policy=policy,
        jitter=jitter,
        recovery=recovery,
        was_in_doubt=was_in_doubt,
    )

    assert settlement.state in {State.APPLIED, State.RETRY, State.IN_DOUBT, State.DEAD}
    if settlement.state in {State.RETRY, State.IN_DOUBT, State.DEAD}:
        assert settlement.reason
        assert settlement.reason_class
    if settlement.state is State.RETRY:
        assert settlement.delay_seconds is not None
        assert not was_in_doubt
    if settlement.state in {State.APPLIED, State.DEAD}:
        assert settlement.delay_seconds is None
    if settlement.delay_seconds is not None:
        assert 0 <= settlement.delay_seconds <= max(policy.backoff.max_seconds, 86_400)


@given(outcome=outcomes, attempt=st.integers(1, 10**9), failures=st.integers(0, 10**6), jitter=st.floats(0, 1))
def test_what_is_not_the_messages_fault_never_kills_it(
    outcome: Outcome, attempt: int, failures: int, jitter: float
) -> None:
    settlement = settle(
        outcome, attempt=attempt, failures=failures, policy=POLICY, jitter=jitter, recovery=NoRecovery()
    )

    if isinstance(outcome, Throttled | TargetDown | CredentialsExpired | Configuration | Unknown):
        assert settlement.state is not State.DEAD
        assert not settlement.is_failure


def test_a_target_that_repeats_its_errors_gets_another_key_after_a_definite_one() -> None:
    cached, plain = IdempotencyKey(3600, caches_errors=True), IdempotencyKey(3600)
    for strategy, starts_anew in ((cached, True), (plain, False)):
        again = settle(Retry("500"), attempt=1, failures=0, policy=POLICY, jitter=1.0, recovery=strategy)
        assert (again.state, again.starts_anew) == (State.RETRY, starts_anew)
        throttled = settle(Throttled("429"), attempt=1, failures=0, policy=POLICY, jitter=1.0, recovery=strategy)
        assert not throttled.starts_anew
    doubt = settle(Retry("500"), attempt=2, failures=0, policy=POLICY, jitter=1.0, recovery=cached, was_in_doubt=True)
    assert (doubt.state, doubt.starts_anew) == (State.IN_DOUBT, False), "it may be the answer to another try"


@pytest.mark.parametrize("outcome", [Retry("400"), Retry("400", 60.0), Unknown("500", is_failure=True)])
def test_a_failure_that_may_be_the_targets_is_no_try_and_the_pauses_grow_all_the_same(outcome: Outcome) -> None:
    waits = []
    for attempt in range(1, 8):
        settlement = settle(
            outcome,
            attempt=attempt,
            failures=None,
            policy=POLICY,
            jitter=1.0,
            recovery=IdempotencyKey(3600, caches_errors=True),
        )
        assert settlement.state is (State.RETRY if isinstance(outcome, Retry) else State.IN_DOUBT)
        assert not settlement.is_failure
        assert settlement.starts_anew is isinstance(outcome, Retry), "the target would repeat its first answer"
        waits.append(settlement.delay_seconds)
    shortest = getattr(outcome, "after_seconds", None) or 0.0
    assert waits == [max(pause, shortest) for pause in (1, 2, 4, 8, 10, 10, 10)]
    last = settle(outcome, attempt=8, failures=2, policy=POLICY, jitter=1.0, recovery=NoRecovery())
    assert (last.is_failure, last.delay_seconds) == (True, None), "now it counts"


def test_pauses_double_up_to_their_bound() -> None:
    backoff = Backoff(first_seconds=1.0, max_seconds=300.0)

    assert [backoff.delay_seconds(n, 1.0) for n in range(1, 12)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert [backoff.delay_seconds(n, 0.0) for n in (1, 2, 99)] == [0.5, 1.0, 150.0]


@given(
    first_seconds=st.floats(0.001, 3600),
    max_seconds=st.floats(0.001, 604_800),
    failures=st.integers(-5, 10**12),
    jitter=st.floats(0, 1),
)
def test_a_pause_is_never_longer_than_its_bound_and_never_below_half_of_what_it_would_be(
    first_seconds: float, max_seconds: float, failures: int, jitter: float
) -> None:
    backoff = Backoff(first_seconds, max_seconds)

    pause = backoff.delay_seconds(failures, jitter)
    whole = backoff.delay_seconds(failures, 1.0)

    assert whole / 2 <= pause <= whole <= max_seconds
    assert backoff.delay_seconds(failures + 1, 1.0) >= whole
