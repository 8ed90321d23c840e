import json

import pytest
from pydantic import ValidationError

from adapters.answers import Answer
from adapters.rest_classify import Call, classify
from adapters.rest_rules import Rule, Verdict, verdict
from outbox.model.outcome import (
    Accepted,
    AlreadyApplied,
    Applied,
    Configuration,
    Rejected,
    Retry,
    StaleConflict,
    Throttled,
    Unknown,
)


def _rules(*rules: dict[str, object]) -> tuple[Rule, ...]:
    return tuple(Rule.model_validate(rule) for rule in rules)


def _call(*rules: dict[str, object], **more: object) -> Call:
    return Call("POST /deals", True, False, rules=_rules(*rules), **more)  # type: ignore[arg-type]


def _answer(document: object, status: int = 200) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(document).encode())


ERROR = {"errors": [{"code": "DUPLICATE", "n": 3, "text": "the order is known"}, {"code": "OTHER"}], "ok": False}


@pytest.mark.parametrize(
    "condition",
    [
        {"path": "errors.0.code", "equals": "DUPLICATE"},
        {"path": "errors.*.code", "equals": "OTHER"},
        {"path": "errors.0.n", "equals": 3},
        {"path": "errors.0.n", "equals": "3"},
        {"path": "ok", "equals": False},
        {"path": "errors.*.text", "contains": "is known"},
        {"path": "errors.*.text", "matches": "(?i)ORDER .* known$"},
        {"path": "errors", "present": True},
        {"path": "errors.*", "present": True},
        {"path": "warnings", "present": False},
        {"path": "ok", "present": False},
        {"status": 200},
        {"status": "2xx"},
        {"status": [409, "2xx"], "path": "errors.1.code", "equals": "OTHER"},
    ],
)
def test_a_rule_fits_what_it_describes(condition: dict[str, object]) -> None:
    assert verdict(_answer(ERROR), _rules({"outcome": "rejected"} | condition)) == Verdict("rejected")


@pytest.mark.parametrize(
    "condition",
    [
        {"path": "errors.2.code", "equals": "DUPLICATE"},
        {"path": "errors.*.code", "equals": "duplicate"},
        {"path": "errors.code", "equals": "DUPLICATE"},
        {"path": "errors", "contains": "DUPLICATE"},
        {"path": "ok", "equals": "no"},
        {"path": "none", "equals": None},
        {"path": "errors", "present": False},
        {"status": 201},
        {"status": "4xx", "path": "errors.0.code", "equals": "DUPLICATE"},
    ],
)
def test_a_rule_does_not_fit_anything_else(condition: dict[str, object]) -> None:
    assert verdict(_answer(ERROR), _rules({"outcome": "rejected"} | condition)) is None


def test_the_first_rule_that_fits_decides_before_any_status() -> None:
    call = _call(
        {"path": "errors.0.code", "equals": "LOCKED", "outcome": "retry"},
        {"path": "errors", "present": True, "outcome": "already_applied"},
        {"status": "2xx", "outcome": "rejected"},
        statuses={"200": "configuration"},
    )

    assert classify(_answer(ERROR), call) == AlreadyApplied()
    assert type(classify(_answer({"errors": [{"code": "LOCKED"}]}), call)) is Retry
    assert type(classify(_answer({}), call)) is Rejected
    assert type(classify(_answer({}, 404), call)) is Configuration


def test_a_rule_says_where_the_delay_and_the_reason_are() -> None:
    call = _call(
        {
            "status": [200, 429],
            "path": "fault.kind",
            "equals": "quota",
            "outcome": "throttled",
            "after": "fault.seconds",
            "message": "fault.why",
        },
        document={"customer": "Anna Customer"},
    )

    def said(seconds: object, why: str) -> object:
        return classify(_answer({"fault": {"kind": "quota", "seconds": seconds, "why": why}}), call)

    assert said(2.5, "slow down\n") == Throttled("POST /deals: answered 200: slow down", 2.5)
    assert said("12", "no, Anna Customer") == Throttled("POST /deals: answered 200: no, ***", 12.0)
    assert said(10**8, "x") == Throttled("POST /deals: answered 200: x", 86_400.0)
    assert said("soon", "x") == Throttled("POST /deals: answered 200: x", None)
    assert said(-1, "x") == Throttled("POST /deals: answered 200: x", None)


def test_a_rule_says_whom_throttling_means_and_for_how_long() -> None:
    search = _call({"status": 429, "path": "limit", "equals": "search", "outcome": "throttled", "scope": "flow"})
    daily = _call({"status": 429, "path": "limit", "equals": "day", "outcome": "throttled", "kind": "daily"})

    found = classify(_answer({"limit": "search"}, 429), search)
    assert found == Throttled("POST /deals: answered 429", scope="flow")
    assert classify(_answer({"limit": "day"}, 429), daily) == Throttled("POST /deals: answered 429", kind="daily")
    assert classify(_answer({}, 429), daily) == Throttled("POST /deals: answered 429", scope="connection", kind="rate")


@pytest.mark.parametrize("setting", [{"scope": "flow"}, {"kind": "daily"}])
def test_only_throttling_has_a_scope_and_a_kind(setting: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="belongs to the outcome throttled"):
        _rules({"status": 503, "outcome": "target_down", **setting})


def test_a_success_by_rule_still_needs_its_id() -> None:
    call = _call({"path": "state", "equals": "known", "outcome": "applied"}, external_id="deal.id")

    assert classify(_answer({"state": "known", "deal": {"id": 7}}, 409), call) == Applied("7")
    assert type(classify(_answer({"state": "known"}, 409), call)) is Unknown


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"{"), (200, b""), (200, None), (201, b"<html>"), (200, b"\xff"), (200, b"[" * 100_000)]
)
def test_a_success_that_rules_cannot_read_may_be_a_failure(status: int, body: bytes | None) -> None:
    call = _call({"path": "errors", "present": True, "outcome": "rejected"})

    outcome = classify(Answer(status, {}, body), call)
    assert outcome == Unknown(f"POST /deals: answered {status}: the answer that rules are about cannot be read")


def test_a_rule_by_status_before_them_settles_what_rules_cannot_read() -> None:
    call = _call(
        {"status": 201, "outcome": "applied"},
        {"path": "errors", "present": True, "outcome": "rejected"},
    )

    assert classify(Answer(201, {}, b""), call) == Applied()


def test_an_answer_without_content_and_a_refusal_are_judged_by_their_status() -> None:
    call = _call(
        {"path": "errors", "present": True, "outcome": "rejected"},
        {"status": 412, "outcome": "stale_conflict"},
    )

    assert classify(Answer(204, {}, b""), call) == Applied()
    assert classify(Answer(202, {"location": "/jobs/1"}, b""), call) == Accepted("/jobs/1")
    assert type(classify(Answer(412, {}, b"garbage"), call)) is StaleConflict
    assert type(classify(Answer(422, {}, b"garbage"), call)) is Rejected


def test_a_success_that_is_not_the_json_that_it_claims_to_be_is_unknown() -> None:
    assert type(classify(Answer(200, {"content-type": "application/json"}, b'{"id": '), _call())) is Unknown
    assert type(classify(Answer(200, {"content-type": "application/hal+json"}, b"ok"), _call())) is Unknown
    assert classify(Answer(200, {"content-type": "text/plain"}, b"ok"), _call()) == Applied()


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"outcome": "retry"}, "required, unless there is a path"),
        ({"path": "a", "outcome": "retry"}, "needs one of equals, contains, matches and present"),
        ({"path": "a", "equals": 1, "contains": "b", "outcome": "retry"}, "needs one of equals"),
        ({"status": 200, "equals": 1, "outcome": "retry"}, "needs the path of what it is about"),
        ({"path": "a", "matches": "(", "outcome": "retry"}, "must be a regular expression"),
        ({"status": 600, "outcome": "retry"}, "pattern"),
        ({"status": [], "outcome": "retry"}, "at least 1"),
        ({"status": 200, "outcome": "accepted"}, "already_applied"),
        ({"status": 200}, "Field required"),
    ],
)
def test_a_rule_that_says_nothing_is_refused(rule: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Rule.model_validate(rule)

    assert complaint in str(caught.value)
