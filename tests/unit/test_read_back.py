"""What a refused duplicate means: the record says whether what exists is ours."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from adapters.rest_same import SameDecimal, Wanted, wanted
from outbox.inbox.call import Answer, result_of
from outbox.inbox.decide import Ask, Call, Send
from outbox.model.adapter import Capabilities, Request
from outbox.model.backoff import Backoff
from outbox.model.circuit import Signal, sign_of
from outbox.model.delivery import RetryPolicy, Settlement, State
from outbox.model.errors import MappingError
from outbox.model.inbox import CallKind, DueDelivery
from outbox.model.outcome import (
    Absent,
    AlreadyApplied,
    Different,
    Found,
    NotTold,
    Outcome,
    Present,
    Receipt,
    Retry,
    TargetDown,
)
from outbox.model.recovery import Asking, ClientNamedCreate, LookupThenCreate, RecoveryStrategy, UpsertByReference

DUE = DueDelivery(
    id=1, lane=2, epoch=3, state=State.READY, sequence=4, message_id="m", type="order.confirmed", version=1, key="k",
    attempt=0, failures=0, sent_age_seconds=None, last_sent_age_seconds=None, request_sha256=None, key_number=0,
    reference=None, job=None, traceparent=None, body=b"{}",
)  # fmt: skip
DOUBTFUL = replace(DUE, state=State.IN_DOUBT, sent_age_seconds=90.0, last_sent_age_seconds=90.0, reference="SO-1")
REQUEST = Request("POST", "http://t/", b"{}", reference="SO-1")
POLICY = RetryPolicy(3, Backoff(1.0, 100.0))
NAMED = ClientNamedCreate(60.0)
CAN_BE_ASKED = Capabilities(NAMED, asking=Asking(60.0))


def ended(call: Call, answer: Answer) -> Settlement:
    return result_of(call, answer, attempt=1, policy=POLICY, jitter=1.0).settlement


def sent(due: DueDelivery, outcome: Outcome, capabilities: Capabilities = CAN_BE_ASKED) -> Settlement:
    return ended(Send(due, REQUEST, REQUEST.sha256(), capabilities), Receipt(outcome, 409))


def read(answer: Present | Absent | Different | NotTold, strategy: RecoveryStrategy = NAMED) -> Settlement:
    capabilities = Capabilities(strategy, asking=Asking(60.0))
    return ended(Ask(DOUBTFUL, CallKind.LOOK_UP, "SO-1", capabilities, REQUEST), Found(answer, 200))


@pytest.mark.parametrize("due", [DUE, DOUBTFUL])
def test_a_name_that_is_taken_is_read_before_anything_is_believed(due: DueDelivery) -> None:
    settlement = sent(due, AlreadyApplied())
    assert (settlement.state, settlement.delay_seconds, settlement.is_parked) == (State.IN_DOUBT, 60.0, False)
    assert settlement.is_failure
    assert not settlement.starts_anew, "what was sent must stay: the record is asked for by its reference"


@pytest.mark.parametrize(
    "capabilities", [Capabilities(NAMED), Capabilities(UpsertByReference(60.0), asking=Asking(60.0))]
)
def test_what_cannot_be_read_or_names_no_record_of_ours_is_believed_as_it_is(capabilities: Capabilities) -> None:
    assert sent(DUE, AlreadyApplied("X"), capabilities) == Settlement(State.APPLIED, external_id="X")


def test_a_name_that_stays_taken_by_something_unseen_is_for_a_person_in_the_end() -> None:
    for failures, delay_seconds in ((1, 60.0), (2, 60.0), (3, None)):
        settlement = sent(replace(DUE, failures=failures), AlreadyApplied())
        assert (settlement.state, settlement.delay_seconds) == (State.IN_DOUBT, delay_seconds)
    assert settlement.is_parked
    assert "does not show it" in (settlement.reason or "")
    alone = RetryPolicy(1, POLICY.backoff)
    call = Send(DUE, REQUEST, REQUEST.sha256(), CAN_BE_ASKED)
    once = result_of(call, Receipt(AlreadyApplied(), 409), attempt=1, policy=alone, jitter=1.0)
    assert not once.settlement.is_parked, "a single try has its look, too"


def test_the_record_decides() -> None:
    assert read(Present("D-1")) == Settlement(State.APPLIED, external_id="D-1")
    assert read(Absent()) == Settlement(State.READY, 0.0, starts_anew=True)
    other = read(Different("GET /deals: the record under this reference has another amount"))
    assert (other.state, other.reason_class, other.is_failure) == (State.DEAD, "rejected", True)
    assert other.reason is not None
    assert other.reason.endswith("another amount")


def test_a_record_that_cannot_be_read_leaves_the_doubt() -> None:
    for outcome in (TargetDown("away"), Retry("answered 500")):
        later = read(NotTold(outcome))
        assert (later.state, later.is_parked) == (State.IN_DOUBT, False)
        assert later.is_failure is isinstance(outcome, Retry)


def test_another_record_after_a_look_up_before_creating_is_still_a_doubt() -> None:
    """There a call of ours may have been at work beside it, under no name that would have refused it."""
    settlement = read(Different("another amount"), LookupThenCreate())
    assert (settlement.state, settlement.is_parked) == (State.IN_DOUBT, True)


def test_a_target_that_tells_of_another_record_works() -> None:
    assert sign_of(Different("another amount")).signal is Signal.WORKS


DOCUMENT = {"no": "007", "amount": "12.50", "total": Decimal("12.50"), "is_new": True, "note": None, "deep": {"id": 7}}


@pytest.mark.parametrize(
    ("template", "value", "is_same"),
    [
        ("erp/{reference}", "erp/SO-1", True),
        ("{no}", "007", True),
        ("{no}", "7", False),
        ("{amount}", "12.5", False),
        (SameDecimal(decimal="{amount}"), "12.5", True),
        (SameDecimal(decimal="{amount}"), "12.51", False),
        (SameDecimal(decimal="{amount}"), "1.25e1", True),
        (SameDecimal(decimal="{amount}"), "twelve", False),
        (SameDecimal(decimal="{amount}"), True, False),
        ("{total}", "12.5", True),
        ("{total}", "12.500000000000000001", False),
        ("{deep.id}", "7.0", True),
        ("{is_new}", True, True),
        ("{is_new}", False, False),
        ("{is_new}", "1", False),
        ("{note}", None, True),
        ("{note}", "", False),
        ("{nothing}", None, True),
        ("{no}", None, False),
        ("{no}", ["007"], False),
    ],
)
def test_a_field_is_compared_to_the_letter_and_a_number_by_its_value(
    template: str | SameDecimal, value: object, is_same: bool
) -> None:
    assert wanted({"field": template}, "SO-1", DOCUMENT)["field"].fits(value) is is_same


@pytest.mark.parametrize("template", ["{deep}", SameDecimal(decimal="{no}/x"), "x{nothing}"])
def test_what_cannot_be_compared_names_the_field(template: str | SameDecimal) -> None:
    with pytest.raises(MappingError):
        wanted({"field": template}, "SO-1", DOCUMENT)


def test_without_its_document_only_the_reference_is_compared() -> None:
    assert wanted({"ref": "{reference}"}, "SO-1", None) == {"ref": Wanted("SO-1")}
    with pytest.raises(MappingError, match="cannot be built again"):
        wanted({"ref": "{no}"}, "SO-1", None)
