"""What is done with a due delivery: called, called again, or parked with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from outbox.inbox.decide import Call, decide, idempotency_key
from outbox.model.adapter import Delivery, IdempotencyKey, NoRecovery, RecoveryStrategy, Request
from outbox.model.delivery import RetryPolicy, State, settle
from outbox.model.errors import MappingError
from outbox.model.inbox import DueDelivery, Parking
from outbox.model.outcome import (
    AlreadyApplied,
    Configuration,
    Outcome,
    Receipt,
    Rejected,
    Retry,
    TargetDown,
    Throttled,
)

WINDOW = IdempotencyKey(window_seconds=3600, margin_seconds=60)


@dataclass
class PlainAdapter:
    """Renders a body; sends nothing, because deciding sends nothing."""

    strategy: RecoveryStrategy
    body: bytes = b"same"

    def supports(self, event_type: str) -> bool:
        return event_type == "order.confirmed"

    def recovery(self, event_type: str) -> RecoveryStrategy:
        assert event_type == "order.confirmed"
        return self.strategy

    def render(self, delivery: Delivery) -> Request:
        return Request("POST", "http://t/", self.body, {"Idempotency-Key": delivery.idempotency_key})

    async def send(self, request: Request, *, traceparent: str | None) -> Receipt:
        raise AssertionError(f"deciding must not send {request} ({traceparent})")

    async def close(self) -> None: ...


class Everything:
    def apply(self, payload: bytes) -> Mapping[str, object]:
        return {"payload": payload.decode()}


class Nothing:
    def apply(self, payload: bytes) -> Mapping[str, object]:
        assert payload == DUE.body
        raise MappingError("amount", "is missing")


DUE = DueDelivery(
    id=1, lane=2, epoch=3, state=State.READY, sequence=4, message_id="m", type="order.confirmed", version=1, key="k",
    attempt=0, failures=0, sent_age_seconds=None, request_sha256=None, traceparent=None, body=b"{}",
)  # fmt: skip


def sent(age_seconds: float, *, state: State = State.IN_DOUBT, body: bytes = b"same") -> DueDelivery:
    request = PlainAdapter(WINDOW, body).render(_delivery())
    return replace(DUE, state=state, attempt=1, sent_age_seconds=age_seconds, request_sha256=request.sha256())


def _delivery() -> Delivery:
    return Delivery("f", "m", "order.confirmed", 1, "k", 4, idempotency_key("f", "m"), {})


def test_a_new_delivery_is_called_with_a_key_of_its_flow_and_message() -> None:
    call = decide("f", DUE, Everything(), PlainAdapter(NoRecovery()))
    assert isinstance(call, Call)
    assert call.request.headers["Idempotency-Key"] == "f-m"
    assert call.beginning().request_sha256 == call.request.sha256()


def test_a_doubt_inside_the_window_is_sent_again_unchanged() -> None:
    assert isinstance(decide("f", sent(100), Everything(), PlainAdapter(WINDOW)), Call)


@pytest.mark.parametrize(
    ("due", "strategy", "body", "reason"),
    [
        (sent(3541), WINDOW, b"same", "outside the target's idempotency window of 3600 s"),
        (sent(100), WINDOW, b"changed", "changed since the request was first sent"),
        (sent(100), NoRecovery(), b"same", "no recovery strategy"),
        (sent(100, state=State.RETRY), WINDOW, b"changed", None),
        (sent(100, state=State.RETRY), NoRecovery(), b"changed", "no recovery strategy"),
    ],
)
def test_a_doubt_that_cannot_be_resolved_safely_is_parked_for_a_person(
    due: DueDelivery, strategy: RecoveryStrategy, body: bytes, reason: str | None
) -> None:
    parking = decide("f", due, Everything(), PlainAdapter(strategy, body))
    assert isinstance(parking, Parking)
    assert parking.state is State.IN_DOUBT
    assert (reason or "changed") in parking.reason


def test_a_definite_failure_is_tried_again_whatever_the_strategy_and_the_age() -> None:
    due = sent(99_999, state=State.RETRY)
    assert isinstance(decide("f", due, Everything(), PlainAdapter(NoRecovery())), Call)
    assert isinstance(decide("f", due, Everything(), PlainAdapter(WINDOW)), Call)


def test_what_cannot_be_mapped_is_dead_when_nothing_was_sent_and_in_doubt_when_something_was() -> None:
    dead = decide("f", DUE, Nothing(), PlainAdapter(WINDOW))
    assert isinstance(dead, Parking)
    assert (dead.state, dead.reason) == (State.DEAD, "field 'amount': is missing")
    doubt = decide("f", sent(1), Nothing(), PlainAdapter(WINDOW))
    assert isinstance(doubt, Parking)
    assert doubt.state is State.IN_DOUBT


@pytest.mark.parametrize("outcome", [Throttled("429", 3.0), TargetDown("refused"), Configuration("401"), Retry("500")])
def test_a_doubt_outlives_an_answer_that_only_speaks_of_the_latest_try(outcome: Outcome) -> None:
    """Else the window would not be checked again: the target may forget the key while it throttles us."""
    settlement = settle(outcome, attempt=2, failures=0, policy=RetryPolicy(), jitter=1.0, was_in_doubt=True)
    assert settlement.state is State.IN_DOUBT
    assert settlement.delay_seconds is not None


def test_a_doubt_whose_tries_are_used_up_is_parked_and_not_called_dead() -> None:
    settlement = settle(
        Retry("500"), attempt=9, failures=7, policy=RetryPolicy(attempts=8), jitter=1.0, was_in_doubt=True
    )
    assert (settlement.state, settlement.delay_seconds) == (State.IN_DOUBT, None)


def test_an_answer_about_the_key_ends_the_doubt() -> None:
    for outcome, state in ((AlreadyApplied("X"), State.APPLIED), (Rejected("422"), State.DEAD)):
        settlement = settle(outcome, attempt=2, failures=0, policy=RetryPolicy(), jitter=1.0, was_in_doubt=True)
        assert settlement.state is state
