"""What a target's answers to questions mean: "absent" only from one that has understood the question."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from adapters.answers import Answer, Fault, NoAnswer
from adapters.rest_asking import ended, found, job_url, look_up_url
from adapters.rest_classify import Call
from adapters.rest_rules import Condition, Rule
from adapters.rest_settings import JobRequest, LookUpRequest
from outbox.model.outcome import (
    Absent,
    Accepted,
    Ambiguous,
    Applied,
    Configuration,
    Different,
    NotTold,
    Outcome,
    Present,
    Rejected,
    Retry,
    TargetDown,
    Throttled,
    Unknown,
)

CALL = Call(label="GET /deals", is_repeatable=True, addresses_record=True, secrets=("s3cr3t",))
LIST = LookUpRequest(
    path="/deals", query={"ref": "{reference}"}, records="deals", external_id="id", same={"source": "erp/{reference}"}
)
ONE = LookUpRequest(path="/deals/{reference}", external_id="id")
SAME = LookUpRequest(path="/deals/{reference}", same={"source": "erp/{reference}"})
TOLD = LookUpRequest(
    path="/deals/{reference}",
    external_id="id",
    absent=(Condition(status=("404",)), Condition(status=("200",), path="error.code", equals="NO_SUCH_DEAL")),
)
RULES = (
    Rule(status=("4xx",), path="error.code", equals="NO_SUCH_TENANT", outcome="configuration"),
    Rule(path="errors", present=True, outcome="rejected", message="errors.0.text"),
    Rule(path="is_new", equals=False, outcome="already_applied"),
)
JOB = JobRequest(status="state", applied={"done"}, rejected={"failed"}, retry={"expired"}, external_id="result.id")


def answer(status: int, document: object = None, **headers: str) -> Answer:
    return Answer(status, headers, b"" if document is None else json.dumps(document).encode())


def test_a_reference_stands_in_path_and_query_and_cannot_leave_its_place() -> None:
    assert look_up_url("http://t/api", LIST, "A&b=c/ü") == "http://t/api/deals?ref=A%26b%3Dc%2F%C3%BC"
    assert look_up_url("http://t/api", ONE, "A/../B") == "http://t/api/deals/A%2F..%2FB"


def test_a_job_is_asked_about_at_this_target_only() -> None:
    assert job_url("http://t/api", "/jobs/1") == "http://t/jobs/1"
    assert job_url("http://t/api", "jobs/1") == "http://t/api/jobs/1"
    assert job_url("http://t/api", "http://t/jobs/1") == "http://t/jobs/1"
    for elsewhere in ("http://evil/jobs/1", "//evil/jobs", "https://t/jobs/1", "http://t:81/", "http://t@evil/"):
        assert job_url("http://t/api", elsewhere) is None


@pytest.mark.parametrize(
    ("request_", "came", "expected"),
    [
        (LIST, answer(200, {"deals": []}), Absent()),
        (LIST, answer(200, {"deals": [{"id": 7, "source": "erp/R"}]}), Present("7")),
        (LIST, answer(200, {"deals": [{"source": "erp/R"}]}), Present(None)),
        (ONE, answer(200, {"id": "D-7"}), Present("D-7")),
        (ONE, answer(404, {"error": "not found"}), Absent()),
        (ONE, answer(410, {"errors": [{"code": "gone"}]}), Absent()),
        (ONE, answer(404, "not found", **{"content-type": "application/problem+json"}), Absent()),
        (TOLD, answer(404), Absent()),
        (TOLD, answer(404, {"detail": "not found"}), Absent()),
        (TOLD, answer(200, {"error": {"code": "NO_SUCH_DEAL"}}), Absent()),
        (SAME, answer(200, {"source": "erp/R"}), Present()),
    ],
)
def test_a_target_that_can_tell_is_believed(request_: LookUpRequest, came: Answer, expected: object) -> None:
    assert found(came, CALL, request_, "R").answer == expected


@pytest.mark.parametrize(
    ("request_", "came", "kind", "about"),
    [
        (LIST, answer(200, {"deals": [{}, {}]}), Ambiguous, "2 records"),
        (LIST, answer(200, {"deals": [{"id": 7, "source": "crm/R"}]}), Different, "another source"),
        (LIST, answer(200, {"items": []}), Configuration, "no list at deals"),
        (LIST, answer(404), Configuration, "404"),
        (LIST, answer(200, {"deals": ["R"]}), Retry, "no fields"),
        (ONE, answer(200, {"error": "no"}), Retry, "no id"),
        (ONE, answer(200, {"id": None}), Retry, "no id"),
        (ONE, answer(200, {}), Retry, "no id"),
        (ONE, answer(200, [{"id": 7}]), Retry, "no id"),
        (ONE, Answer(200, {}, b"null"), Retry, "no id"),
        (SAME, answer(200, {"id": 7}), Retry, "no source"),
        (SAME, answer(200, {"source": "crm/R"}), Different, "another source"),
        (ONE, answer(404), Retry, "look_up.absent"),
        (ONE, Answer(404, {"content-type": "text/html"}, b"<h1>default backend</h1>"), Retry, "look_up.absent"),
        (ONE, Answer(404, {"content-type": "text/plain"}, b"404 page not found"), Retry, "look_up.absent"),
        (ONE, Answer(404, {"content-type": "text/plain"}, b"404"), Retry, "look_up.absent"),
        (ONE, Answer(410, {}, None), Retry, "look_up.absent"),
        (TOLD, Answer(404, {"content-type": "text/html"}, b"<h1>default backend</h1>"), Retry, "none of look_up"),
        (TOLD, answer(410, {"error": "gone"}), Retry, "none of look_up.absent"),
        (TOLD, answer(200, {"error": {"code": "BUSY"}}), Retry, "no id"),
        (LIST, Answer(200, {"content-type": "text/html"}, b"<html>"), Retry, "not JSON"),
        (LIST, Answer(200, {}, None), Retry, "not JSON"),
        (ONE, answer(401), Configuration, "401"),
        (ONE, answer(429, None, **{"retry-after": "9"}), Throttled, "429"),
        (ONE, answer(503), TargetDown, "503"),
        (ONE, answer(400), Retry, "400"),
        (ONE, answer(302, None, location="http://evil/"), Configuration, "redirects"),
        (ONE, answer(500), Retry, "500"),
        (ONE, answer(502), TargetDown, "502"),
        (ONE, answer(307, None, location="http://evil/"), Configuration, "redirects"),
        (ONE, NoAnswer(was_sent=True, reason="sent, and no answer"), TargetDown, "no answer"),
        (ONE, NoAnswer(was_sent=False, reason="refused"), TargetDown, "refused"),
        (ONE, NoAnswer(was_sent=False, reason="bad certificate", fault=Fault.CONFIGURATION), Configuration, "bad"),
    ],
)
def test_what_is_no_answer_to_the_question_is_never_taken_for_absent(
    request_: LookUpRequest, came: Answer | NoAnswer, kind: type, about: str
) -> None:
    told = found(came, CALL, request_, "R").answer
    inner = told.outcome if isinstance(told, NotTold) else told
    assert isinstance(inner, kind)
    assert about in getattr(inner, "reason", "")
    assert not isinstance(told, Absent | Present)


@pytest.mark.parametrize(
    ("request_", "came", "expected"),
    [
        (LIST, answer(200, {"errors": [{"text": "shard away"}], "deals": []}), Retry),
        (ONE, answer(200, {"errors": [{"text": "shard away"}], "id": 7}), Retry),
        (ONE, Answer(200, {}, b"<html>"), Retry),
        (ONE, answer(404, {"error": {"code": "NO_SUCH_TENANT"}}), Configuration),
        (ONE, answer(404, {"errors": [{"text": "no such deal"}]}), Absent),
        (TOLD, answer(404, {"error": {"code": "NO_SUCH_TENANT"}}), Absent),
        (ONE, answer(200, {"id": 7, "is_new": False}), Present),
    ],
)
def test_rules_judge_the_answer_to_a_question_unless_they_speak_of_the_record(
    request_: LookUpRequest, came: Answer, expected: type
) -> None:
    told = found(came, replace(CALL, rules=RULES), request_, "R").answer
    assert isinstance(told.outcome if isinstance(told, NotTold) else told, expected)


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        (answer(200, {"state": "done", "result": {"id": 9}}), Applied("9")),
        (answer(200, {"state": "done"}), Applied(None)),
        (answer(200, {"state": "done", "result": {"id": "A\0"}}), Applied(None)),
        (answer(200, {"state": "running"}), Accepted()),
        (answer(202, {"state": "queued"}), Accepted()),
        (answer(200, {"state": "failed"}), Rejected("GET /deals: the job ended as failed")),
        (answer(200, {"state": "expired"}), Retry("GET /deals: the job ended as expired")),
        (answer(200, {}), Unknown("GET /deals: the answer has no state", is_failure=True)),
    ],
)
def test_a_job_ends_by_its_configured_words_only(came: Answer, expected: Outcome) -> None:
    assert ended(came, CALL, JOB).outcome == expected


@pytest.mark.parametrize("came", [answer(404), answer(422), answer(500), Answer(200, {}, b"<html>")])
def test_a_question_about_a_job_that_is_refused_says_nothing_of_the_job(came: Answer) -> None:
    outcome = ended(came, CALL, JOB).outcome
    assert isinstance(outcome, Unknown)
    assert outcome.is_failure, "it is not asked for ever"


@pytest.mark.parametrize("came", [answer(503), answer(504), NoAnswer(was_sent=True, reason="no answer")])
def test_an_outage_while_a_job_is_asked_about_costs_nothing(came: Answer | NoAnswer) -> None:
    assert isinstance(ended(came, CALL, JOB).outcome, TargetDown)
