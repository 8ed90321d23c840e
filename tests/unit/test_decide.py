"""What is done with a due delivery: called, called again, or parked with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from outbox.inbox.apply import Applier, ApplierSettings
from outbox.inbox.call import result_of
from outbox.inbox.decide import Ask, Send, decide, groups, idempotency_key
from outbox.inbox.lanes import Ownership
from outbox.model.adapter import Capabilities, Delivery, Request
from outbox.model.delivery import RetryPolicy, State
from outbox.model.errors import MappingError
from outbox.model.inbox import CallKind, DueDelivery, Parking
from outbox.model.outcome import (
    Found,
    NotTold,
    Receipt,
    Retry,
    Unknown,
)
from outbox.model.recovery import (
    Asking,
    AsyncJob,
    ClientNamedCreate,
    IdempotencyKey,
    LookupThenCreate,
    NoRecovery,
    RecoveryStrategy,
    UpsertByReference,
)
from outbox.supervisor import Stop

WINDOW = IdempotencyKey(window_seconds=3600, margin_seconds=60)


@dataclass
class PlainAdapter:
    """Renders a body; sends nothing, because deciding sends nothing."""

    strategy: RecoveryStrategy
    body: bytes = b"same"
    reference: str | None = None
    asking: Asking | None = None
    batch: int = 1

    def capabilities(self, event_type: str) -> Capabilities:
        assert event_type.startswith("order.")
        return Capabilities(self.strategy, "v1", self.asking, self.batch)

    def max_batch(self) -> int:
        return self.batch

    def render(self, delivery: Delivery) -> Request:
        headers = {"Idempotency-Key": delivery.idempotency_key}
        return Request("POST", "http://t/", self.body, headers, self.reference)

    async def send(self, requests: Sequence[Request], *, leave_by: float, traceparent: str | None) -> Sequence[Receipt]:
        raise AssertionError(f"deciding must not send {requests} ({leave_by}, {traceparent})")

    async def look_up(
        self, event_type: str, reference: str, *, leave_by: float, request: Request | None = None
    ) -> Found:
        raise AssertionError(f"deciding must not ask for {event_type} {reference} ({leave_by}, {request})")

    async def poll(self, event_type: str, job: str, *, leave_by: float) -> Receipt:
        raise AssertionError(f"deciding must not ask for {event_type} {job} ({leave_by})")

    async def check(self) -> None: ...

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
    attempt=0, failures=0, sent_age_seconds=None, last_sent_age_seconds=None, request_sha256=None, key_number=0,
    reference=None, job=None, traceparent=None, body=b"{}",
)  # fmt: skip


def sent(age_seconds: float, *, state: State = State.IN_DOUBT, body: bytes = b"same") -> DueDelivery:
    request = PlainAdapter(WINDOW, body).render(_delivery())
    return replace(
        DUE,
        state=state,
        attempt=1,
        sent_age_seconds=age_seconds,
        last_sent_age_seconds=age_seconds,
        request_sha256=request.sha256(),
    )


def _delivery() -> Delivery:
    return Delivery("f", "m", "order.confirmed", 1, "k", 4, idempotency_key("f", "m"), {})


def test_a_new_delivery_is_called_with_a_key_of_its_flow_and_message() -> None:
    call = decide("f", DUE, Everything(), PlainAdapter(NoRecovery()))
    assert isinstance(call, Send)
    assert call.request.headers["Idempotency-Key"] == "f-m"
    assert call.beginning().request_sha256 == call.request.sha256()


def test_a_doubt_inside_the_window_is_sent_again_unchanged() -> None:
    assert isinstance(decide("f", sent(100), Everything(), PlainAdapter(WINDOW)), Send)


@pytest.mark.parametrize(
    ("due", "strategy", "body", "reason"),
    [
        (sent(3541), WINDOW, b"same", "outside the target's idempotency window of 3600 s"),
        (sent(100), WINDOW, b"changed", "changed since the request was first sent"),
        (sent(100), NoRecovery(), b"same", "no recovery strategy"),
    ],
)
def test_a_doubt_that_cannot_be_resolved_safely_is_parked_for_a_person(
    due: DueDelivery, strategy: RecoveryStrategy, body: bytes, reason: str
) -> None:
    parking = decide("f", due, Everything(), PlainAdapter(strategy, body))
    assert isinstance(parking, Parking)
    assert parking.state is State.IN_DOUBT
    assert reason in parking.reason


@pytest.mark.parametrize("strategy", [NoRecovery(), LookupThenCreate(), UpsertByReference(), ClientNamedCreate()])
def test_a_definite_failure_is_tried_again_whatever_the_age(strategy: RecoveryStrategy) -> None:
    assert isinstance(decide("f", sent(99_999, state=State.RETRY), Everything(), PlainAdapter(strategy)), Send)


@pytest.mark.parametrize("strategy", [WINDOW, AsyncJob(3600)])
@pytest.mark.parametrize("body", [b"same", b"changed"])
def test_past_its_window_a_key_is_in_doubt_whatever_the_answers_said(strategy: RecoveryStrategy, body: bytes) -> None:
    """Not parked yet: in doubt it is looked up, or parked for a person."""
    adapter = PlainAdapter(strategy, body)
    assert isinstance(decide("f", sent(3539, state=State.RETRY), Everything(), adapter), Send)
    parking = decide("f", sent(3541, state=State.RETRY), Everything(), adapter)
    assert isinstance(parking, Parking)
    assert (parking.state, parking.delay_seconds) == (State.IN_DOUBT, 0.0)
    assert "window is over" in parking.reason


def test_what_cannot_be_mapped_is_dead_when_nothing_was_sent_and_in_doubt_when_something_was() -> None:
    dead = decide("f", DUE, Nothing(), PlainAdapter(WINDOW))
    assert isinstance(dead, Parking)
    assert (dead.state, dead.reason) == (State.DEAD, "field 'amount': is missing")
    doubt = decide("f", sent(1), Nothing(), PlainAdapter(WINDOW))
    assert isinstance(doubt, Parking)
    assert doubt.state is State.IN_DOUBT


@pytest.mark.parametrize("reference", ["SO-\0", "SO-\ud800"])
def test_a_reference_that_no_database_can_store_is_dead_before_anything_is_sent(reference: str) -> None:
    dead = decide("f", DUE, Everything(), PlainAdapter(WINDOW, reference=reference))
    assert isinstance(dead, Parking)
    assert (dead.state, dead.reason_class) == (State.DEAD, "mapping")
    assert "cannot be stored" in dead.reason


@pytest.mark.parametrize("asking", [None, Asking(60)])
def test_what_cannot_be_mapped_any_more_after_definite_answers_is_dead(asking: Asking | None) -> None:
    due = replace(sent(100, state=State.RETRY), reference="R-1")
    dead = decide("f", due, Nothing(), PlainAdapter(WINDOW, asking=asking))
    assert isinstance(dead, Parking)
    assert (dead.state, dead.reason_class) == (State.DEAD, "mapping")


@pytest.mark.parametrize("strategy", [WINDOW, NoRecovery(), LookupThenCreate()])
def test_after_a_definite_failure_another_request_gets_another_key(strategy: RecoveryStrategy) -> None:
    """A mapping that was corrected applies at once; under the old key the target would refuse it, or repeat itself."""
    call = decide("f", sent(100, state=State.RETRY), Everything(), PlainAdapter(strategy, b"changed"))
    assert isinstance(call, Send)
    assert call.request.headers["Idempotency-Key"] == "f-m-1"
    assert call.beginning().starts_anew


def test_what_is_in_doubt_is_looked_up_once_asking_proves_something() -> None:
    adapter = PlainAdapter(LookupThenCreate(), reference="R-1", asking=Asking(60))
    early = decide("f", replace(sent(59), reference="R-1"), Everything(), adapter)
    assert isinstance(early, Parking)
    assert (early.state, early.delay_seconds) == (State.IN_DOUBT, 1.0)
    call = decide("f", replace(sent(60), reference="R-1"), Everything(), adapter)
    assert isinstance(call, Ask)
    assert (call.kind, call.about) == (CallKind.LOOK_UP, "R-1")
    assert call.beginning().request_sha256 is None


def test_what_was_sent_without_a_reference_cannot_be_looked_up() -> None:
    adapter = PlainAdapter(LookupThenCreate(), reference="R-1", asking=Asking(60))
    parking = decide("f", sent(60), Everything(), adapter)
    assert isinstance(parking, Parking)
    assert (parking.delay_seconds, "cannot be asked" in parking.reason) == (None, True)


def test_a_job_is_asked_about_also_when_its_request_cannot_be_built_any_more() -> None:
    due = replace(sent(9999), job="/jobs/7")
    call = decide("f", due, Nothing(), PlainAdapter(AsyncJob(3600)))
    assert isinstance(call, Ask)
    assert (call.kind, call.about) == (CallKind.POLL, "/jobs/7")


@pytest.mark.parametrize("strategy", [UpsertByReference(), ClientNamedCreate()])
def test_where_the_reference_protects_another_request_may_go_out_under_it(strategy: RecoveryStrategy) -> None:
    """The inbox must let it leave, too: what is decided and then refused would be decided again for ever."""
    due = replace(sent(9999), reference="R-1")
    call = decide("f", due, Everything(), PlainAdapter(strategy, b"changed", reference="R-1"))
    assert isinstance(call, Send)
    assert call.beginning().may_differ
    renamed = decide("f", due, Everything(), PlainAdapter(strategy, b"changed", reference="R-2"))
    assert isinstance(renamed, Parking)


def test_requests_of_one_type_share_calls_up_to_the_limit_and_questions_are_asked_alone() -> None:
    adapter = PlainAdapter(WINDOW, batch=2)
    sends = [decide("f", replace(DUE, id=number), Everything(), adapter) for number in range(3)]
    other = decide("f", replace(DUE, id=3, type="order.changed"), Everything(), adapter)
    question = Ask(DUE, CallKind.POLL, "/jobs/7", Capabilities())
    calls = [call for call in (*sends, other, question, question) if not isinstance(call, Parking)]
    grouped = [[call.due.id for call in group] for group in groups(calls)]
    assert grouped == [[0, 1], [2], [3], [1], [1]]


@pytest.mark.parametrize("is_probe", [False, True])
@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (CallKind.LOOK_UP, Found(NotTold(Retry("400")), 400)),
        (CallKind.POLL, Receipt(Unknown("404", is_failure=True), 404)),
    ],
)
def test_a_question_that_is_the_probe_costs_the_message_nothing(
    kind: CallKind, answer: Found | Receipt, is_probe: bool
) -> None:
    ask = Ask(replace(sent(100), is_probe=is_probe), kind, "R-1", Capabilities())
    result = result_of(ask, answer, attempt=2, policy=RetryPolicy(), jitter=1.0)
    assert (result.settlement.state, result.settlement.is_failure) == (State.IN_DOUBT, not is_probe)


# Of a mapping without references nothing is asked.
NO_SESSION = cast("Any", None)


def _applier(adapter: PlainAdapter) -> Applier:
    settings = ApplierSettings(16, 15.0, 4, 0.05, RetryPolicy())
    # It decides without a store.
    return Applier("f", cast("Any", None), adapter, Everything(), Ownership("me"), settings, lambda _event: None)


async def test_many_large_payloads_leave_others_their_turn() -> None:
    large = [replace(DUE, id=number, body=b"x" * 1024 * 1024) for number in range(8)]
    stop, over, turns = Stop(), Stop(), 0

    async def take_turns() -> None:
        nonlocal turns
        while not over.is_set():
            turns += 1
            await over.pause(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(take_turns())
        decisions = await _applier(PlainAdapter(WINDOW))._decide(NO_SESSION, large, 8, stop)
        over.set()
    assert len(decisions) == 8
    assert turns >= 7


async def test_what_goes_alone_is_rendered_only_for_a_free_call() -> None:
    failed = [replace(DUE, id=number, failures=1) for number in range(5)]
    fresh = [replace(DUE, id=number) for number in range(5, 8)]
    decisions = await _applier(PlainAdapter(WINDOW, batch=10))._decide(NO_SESSION, [*failed, *fresh], 2, Stop())
    assert [decision.due.id for decision in decisions if isinstance(decision, Send)] == [0, 1, 5, 6, 7]
