"""Deliveries that shared a call which ended as a whole: each goes alone next time, and pays for nobody else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outbox.inbox.call import result_of
from outbox.inbox.circuit import sign_of_call
from outbox.inbox.decide import Send, groups
from outbox.model.adapter import Capabilities, Request
from outbox.model.backoff import Backoff
from outbox.model.circuit import Sign, Signal
from outbox.model.delivery import RetryPolicy, State
from outbox.model.inbox import DueDelivery, Result
from outbox.model.outcome import Outcome, Receipt, Rejected, Retry, StaleConflict, TargetDown, Throttled, Unknown
from outbox.model.recovery import (
    ClientNamedCreate,
    IdempotencyKey,
    LookupThenCreate,
    NoRecovery,
    RecoveryStrategy,
    UpsertByReference,
)

DUE = DueDelivery(
    id=1, lane=2, epoch=3, state=State.READY, sequence=4, message_id="m", type="order.confirmed", version=1, key="k",
    attempt=0, failures=0, sent_age_seconds=None, last_sent_age_seconds=None, request_sha256=None, key_number=0,
    reference=None, job=None, traceparent=None, body=b"{}",
)  # fmt: skip
REQUEST = Request("POST", "http://t/", b"{}")
REPEATABLE = [IdempotencyKey(3600), UpsertByReference(), ClientNamedCreate()]
NOT_REPEATABLE = [IdempotencyKey(3600, caches_errors=True), LookupThenCreate(), NoRecovery()]
REFUSALS = [Rejected("answered 400"), StaleConflict("answered 409"), Retry("answered 423", 7.0)]


def call(due: DueDelivery = DUE, *, is_atomic: bool = False, recovery: RecoveryStrategy | None = None) -> Send:
    capabilities = Capabilities(recovery or NoRecovery(), "v1", max_batch=10, is_atomic=is_atomic)
    return Send(due, REQUEST, REQUEST.sha256(), capabilities)


def ended(
    one: Send, outcome: Outcome, status: int | None = 400, *, is_shared: bool = True, attempts: int = 1
) -> Result:
    policy = RetryPolicy(attempts, Backoff(1.0, 100.0))
    return result_of(one, Receipt(outcome, status, is_shared), attempt=1, policy=policy, jitter=1.0)


def test_what_has_failed_or_is_in_doubt_shares_no_call() -> None:
    failed, doubtful = replace(DUE, failures=1), replace(DUE, state=State.IN_DOUBT)
    waiting = replace(DUE, state=State.RETRY)
    calls = [call(one) for one in (DUE, failed, waiting, doubtful, failed, DUE)]
    grouped = [[one.due for one in group] for group in groups(calls)]
    assert grouped == [[DUE, waiting, DUE], [failed], [doubtful], [failed]]


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("recovery", [*REPEATABLE, *NOT_REPEATABLE])
def test_a_call_that_was_refused_and_did_nothing_or_may_be_repeated_is_tried_again(
    refusal: Outcome, recovery: RecoveryStrategy
) -> None:
    for one, status in ((call(recovery=recovery, is_atomic=True), 400), (call(recovery=recovery), 413)):
        result = ended(one, refusal, status)
        assert (result.outcome, result.settlement.state) == ("retry", State.RETRY)
        assert result.settlement.is_failure
        assert result.settlement.delay_seconds == (7.0 if isinstance(refusal, Retry) else 1.0)
    result = ended(call(recovery=recovery), refusal)
    is_known = recovery in REPEATABLE
    assert result.settlement.state is (State.RETRY if is_known else State.IN_DOUBT)
    assert result.outcome == ("retry" if is_known else "unknown")
    assert result.settlement.is_failure
    assert result.settlement.reason is not None
    assert "goes alone next time" in result.settlement.reason


def test_a_call_of_which_nobody_knows_parts_its_deliveries_too() -> None:
    result = ended(call(), Unknown("answered 500", is_failure=True), 500)
    assert (result.settlement.state, result.settlement.is_failure) == (State.IN_DOUBT, True)
    assert result.settlement.delay_seconds is not None, "not parked for a call that others may have spoilt"
    result = ended(call(), Unknown("no answer"), None)
    assert (result.settlement.state, result.settlement.is_failure) == (State.IN_DOUBT, True)


@pytest.mark.parametrize("outcome", [Throttled("slower"), TargetDown("away")])
def test_what_is_nobodys_fault_parts_nobody(outcome: Outcome) -> None:
    result = ended(call(), outcome, None)
    assert (result.settlement.state, result.settlement.is_failure) == (State.RETRY, False)


def test_the_tries_are_counted_from_the_first_that_a_delivery_had_for_itself() -> None:
    for failures, state in ((0, State.RETRY), (1, State.RETRY), (2, State.DEAD)):
        alone = call(replace(DUE, failures=failures))
        assert ended(alone, Retry("no"), is_shared=False, attempts=2).settlement.state is state
    assert ended(call(), Rejected("no"), is_shared=False).settlement.state is State.DEAD


def test_a_call_shows_one_thing_of_the_target() -> None:
    works, trouble, stop = Sign(Signal.WORKS), Sign(Signal.TROUBLE, "x"), Sign(Signal.STOP, "y")
    short, long = Sign(Signal.THROTTLE, pause_seconds=1.0), Sign(Signal.THROTTLE, pause_seconds=9.0)
    final = Sign(Signal.STOP, "z", is_final=True)
    assert sign_of_call([trouble, trouble]) == trouble
    assert sign_of_call([trouble, works]) == works
    assert sign_of_call([works, short, long]) == long
    assert sign_of_call([short, stop, final, works]) == final
    for signal in Signal:
        assert sign_of_call([Sign(Signal.NONE), Sign(signal)]).signal is signal, "of what has not left nothing is known"
