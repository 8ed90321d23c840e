"""A doubt ends only by what says something of the try that it is about."""

from __future__ import annotations

import pytest

from outbox.model.delivery import RetryPolicy, Settlement, State, settle
from outbox.model.outcome import (
    AlreadyApplied,
    Configuration,
    Outcome,
    Rejected,
    Retry,
    StaleConflict,
    TargetDown,
    Throttled,
    Unknown,
)
from outbox.model.recovery import (
    AsyncJob,
    ClientNamedCreate,
    IdempotencyKey,
    LookupThenCreate,
    NoRecovery,
    RecoveryStrategy,
    UpsertByReference,
)

WINDOW = IdempotencyKey(window_seconds=3600, margin_seconds=60)


@pytest.mark.parametrize("outcome", [Throttled("429", 3.0), TargetDown("refused"), Configuration("401"), Retry("500")])
def test_a_doubt_outlives_an_answer_that_only_speaks_of_the_latest_try(outcome: Outcome) -> None:
    """Else the window would not be checked again: the target may forget the key while it throttles us."""
    settlement = settle(
        outcome, attempt=2, failures=0, policy=RetryPolicy(), jitter=1.0, recovery=WINDOW, was_in_doubt=True
    )
    assert settlement.state is State.IN_DOUBT
    assert settlement.delay_seconds is not None


def test_a_doubt_whose_tries_are_used_up_is_parked_and_not_called_dead() -> None:
    settlement = settle(
        Retry("500"),
        attempt=9,
        failures=7,
        policy=RetryPolicy(attempts=8),
        jitter=1.0,
        recovery=WINDOW,
        was_in_doubt=True,
    )
    assert (settlement.state, settlement.delay_seconds) == (State.IN_DOUBT, None)


def _after_a_doubt(outcome: Outcome, recovery: RecoveryStrategy) -> Settlement:
    return settle(
        outcome, attempt=2, failures=0, policy=RetryPolicy(), jitter=1.0, recovery=recovery, was_in_doubt=True
    )


@pytest.mark.parametrize("refusal", [Rejected("422"), StaleConflict("412")])
def test_a_refusal_under_a_key_does_not_say_that_the_try_before_did_nothing(refusal: Rejected | StaleConflict) -> None:
    """As a dead letter it would be tried again under the next key."""
    assert _after_a_doubt(AlreadyApplied("X"), WINDOW).state is State.APPLIED
    for keyed in (WINDOW, AsyncJob(3600)):
        parked = _after_a_doubt(refusal, keyed)
        assert (parked.state, parked.delay_seconds, parked.is_failure) == (State.IN_DOUBT, None, True)
        assert parked.reason == f"an earlier try may have been applied, and a later one was refused: {refusal.reason}"
    for unkeyed in (UpsertByReference(), ClientNamedCreate()):
        assert _after_a_doubt(refusal, unkeyed).state is State.DEAD


def _first(outcome: Outcome, recovery: RecoveryStrategy, *, is_unsent: bool = False) -> Settlement:
    return settle(
        outcome, attempt=1, failures=0, policy=RetryPolicy(), jitter=1.0, recovery=recovery, is_unsent=is_unsent
    )


def test_a_gateway_that_is_out_of_service_may_have_passed_the_call_on() -> None:
    """In doubt, so that the bounds of the strategy are kept; the pause is what the gateway asks for all the same."""
    answered = TargetDown("503", 7.0)
    for strategy in (WINDOW, AsyncJob(3600), UpsertByReference(60), ClientNamedCreate(60)):
        doubt = _first(answered, strategy)
        assert (doubt.state, doubt.delay_seconds, doubt.is_failure) == (State.IN_DOUBT, 7.0, False)
        assert _first(TargetDown("refused"), strategy, is_unsent=True).state is State.RETRY
    for strategy in (NoRecovery(), LookupThenCreate()):
        assert _first(answered, strategy).state is State.RETRY, "the settings say it"
    assert _first(Unknown("502", 7.0), WINDOW).delay_seconds == 7.0


def test_a_key_that_is_in_use_is_never_left_for_the_next_one() -> None:
    caching = IdempotencyKey(3600, caches_errors=True)
    in_use = _first(Retry("409", is_key_in_use=True), caching)
    assert (in_use.state, in_use.starts_anew, in_use.is_failure) == (State.IN_DOUBT, False, True)
    assert _first(Retry("409", is_key_in_use=True), UpsertByReference()).state is State.RETRY, "there is no key"
    assert _first(Retry("400"), caching).starts_anew
