import json
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.answers import Answer, Fault, NoAnswer, classify_no_answer
from adapters.rest_classify import Call, classify
from adapters.rest_settings import StatusWord
from adapters.retry_after import MAX_AFTER_SECONDS, retry_after_seconds
from outbox.model.outcome import (
    Accepted,
    AlreadyApplied,
    Applied,
    Configuration,
    Outcome,
    Rejected,
    Retry,
    StaleConflict,
    TargetDown,
    Throttled,
    Unknown,
    outcome_name,
)

REPEATABLE = Call("POST /deals", is_repeatable=True, addresses_record=False)
ONCE = Call("POST /deals", is_repeatable=False, addresses_record=False)
RECORD = Call("PUT /deals/7", is_repeatable=True, addresses_record=True)
WITH_ID = Call("POST /deals", is_repeatable=True, addresses_record=False, external_id="deal.id")
JSON = {"content-type": "application/json; charset=utf-8"}
HTML = {"content-type": "text/html"}


@pytest.mark.parametrize(
    ("status", "with_key", "without_key"),
    [
        *((status, Applied, Applied) for status in (200, 201, 203, 204, 205)),
        (202, Accepted, Accepted),
        (207, Unknown, Unknown),
        *((status, Configuration, Configuration) for status in (300, 304, 307, 308)),
        *((status, Unknown, Unknown) for status in (301, 302, 303)),
        *((status, Configuration, Configuration) for status in (401, 403, 404)),
        *((status, Retry, Retry) for status in (408, 421, 423, 424, 425)),
        (409, Retry, StaleConflict),
        (412, StaleConflict, StaleConflict),
        (429, Throttled, Throttled),
        *((status, Rejected, Rejected) for status in (400, 405, 406, 411, 413, 414, 415, 417, 422, 431)),
        *((status, Rejected, Rejected) for status in (402, 410, 418, 451, 499)),
        (500, Unknown, Unknown),
        (503, TargetDown, Unknown),
        *((status, Unknown, Unknown) for status in (501, 502, 504, 505, 508, 520, 522, 524, 599)),
        (101, Unknown, Unknown),
        (999, Unknown, Unknown),
    ],
)
def test_every_status_has_its_outcome(status: int, with_key: type[Outcome], without_key: type[Outcome]) -> None:
    assert type(classify(Answer(status), REPEATABLE)) is with_key
    assert type(classify(Answer(status), ONCE)) is without_key


def test_a_404_of_one_record_is_the_message_and_not_the_address() -> None:
    assert type(classify(Answer(404), RECORD)) is Rejected


def test_the_record_id_is_read_from_a_success() -> None:
    body = b'{"deal": {"id": 12345678901234567890123}}'

    assert classify(Answer(201, JSON, body), WITH_ID) == Applied("12345678901234567890123")
    in_list = Call("POST /", is_repeatable=True, addresses_record=False, external_id="deals.1.id")
    assert classify(Answer(200, JSON, b'{"deals": [{}, {"id": "D-7"}]}'), in_list) == Applied("D-7")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(201, JSON, b'{"deal": {}}'), "answer 201 has no deal.id: is external_id right?"),
        (Answer(201, JSON, b"[1]"), "answer 201 has no deal.id: is external_id right?"),
        (Answer(204), "answer 204 has no deal.id: it is empty"),
        (
            Answer(200, JSON, None),
            "answer 200 has no deal.id: it is longer than max_answer_bytes and was not read",
        ),
        (Answer(200, JSON, b'{"deal": {"id": ""}}'), "answer 200 has no deal.id: what stands there is no id"),
        (
            Answer(200, JSON, b'{"deal": {"id": true}}'),
            "answer 200 has no deal.id: what stands there is no id",
        ),
        (
            Answer(200, JSON, b'{"deal": {"id": "a\\u0000"}}'),
            "answer 200 has no deal.id: what stands there is no id",
        ),
        (
            Answer(200, JSON, b'{"deal": {"id": "' + b"9" * 501 + b'"}}'),
            "answer 200 has no deal.id: what stands there is no id",
        ),
        (Answer(200, JSON, b'{"deal"'), "target answered 200 with application/json that is not valid JSON"),
        (
            Answer(200, JSON, b"[" * 100_000),
            "target answered 200 with application/json that is not valid JSON",
        ),
        (
            Answer(200, JSON, b"\xff\xfe\xfd"),
            "target answered 200 with application/json that is not valid JSON",
        ),
        (
            Answer(200, {}, b"OK"),
            "target answered 200 with no content type where JSON was expected; is base_url right?",
        ),
        (
            Answer(200, HTML, b"<html>"),
            "target answered 200 with text/html where JSON was expected; is base_url right?",
        ),
    ],
)
def test_a_success_that_is_not_understood_is_not_believed(answer: Answer, reason: str) -> None:
    assert classify(answer, WITH_ID) == Unknown(f"POST /deals: {reason}")


def test_html_is_no_success_even_where_no_id_is_wanted() -> None:
    assert type(classify(Answer(200, HTML, b"<html>Please log in"), REPEATABLE)) is Unknown
    assert classify(Answer(200, {"content-type": "text/plain"}, b"OK"), REPEATABLE) == Applied()


def test_configured_statuses_win_the_exact_one_over_its_class() -> None:
    call = _with_statuses({"409": "already_applied", "5xx": "retry", "503": "throttled", "200": "applied"})

    assert classify(Answer(409), call) == AlreadyApplied()
    assert type(classify(Answer(502), call)) is Retry
    assert classify(Answer(503, {"retry-after": "7"}), call) == Throttled("POST /deals: answered 503", 7.0)
    assert classify(Answer(200, HTML, b"OK"), call) == Applied()


def test_every_configurable_word_makes_the_outcome_of_that_name() -> None:
    for word in get_args(StatusWord):
        assert outcome_name(classify(Answer(418), _with_statuses({"418": word}))) == word


def test_a_configured_success_still_needs_the_id_but_a_known_duplicate_does_not() -> None:
    call = Call("POST /deals", True, False, "deal.id", {"202": "applied", "409": "already_applied"})

    assert type(classify(Answer(202), call)) is Unknown
    assert classify(Answer(409, JSON, b"{}"), call) == AlreadyApplied()
    assert classify(Answer(409, JSON, b'{"deal": {"id": 7}}'), call) == AlreadyApplied("7")


def test_an_accepted_answer_names_the_job() -> None:
    assert classify(Answer(202, {"location": "/jobs/7"}), REPEATABLE) == Accepted("/jobs/7")
    assert classify(Answer(202), REPEATABLE) == Accepted(None)


def test_a_job_is_believed_only_with_its_address() -> None:
    job = replace(REPEATABLE, is_job=True)
    assert classify(Answer(201, {"location": "/jobs/7"}), job) == Accepted("/jobs/7")
    assert isinstance(classify(Answer(200, {}, b"{}"), job), Unknown)


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("https://user:secret@login.example.com:8443/a?token=secret", "https://login.example.com:8443"),
        ("/login?token=secret", "another path of the same host"),
        ("http://[broken", "another path of the same host"),
        ("https://host:notaport/", "another path of the same host"),
        ("", "another path of the same host"),
    ],
)
def test_a_redirect_names_only_the_host(location: str, named: str) -> None:
    outcome = classify(Answer(307, {"location": location}), REPEATABLE)

    assert outcome == Configuration(f"POST /deals: redirects to {named} (307)")


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_may_follow_the_effect_stops_the_flow_and_is_not_probed_where_that_is_a_second_call(
    status: int,
) -> None:
    why = f"POST /deals: redirects to another path of the same host ({status}), perhaps after it was done"
    assert classify(Answer(status), REPEATABLE) == Unknown(why, needs_a_person=True)
    outcome = classify(Answer(status), ONCE)
    assert isinstance(outcome, Unknown)
    assert (outcome.needs_a_person, outcome.is_final) == (True, True)
    assert "outbox circuit close" in outcome.reason


def test_a_conflict_under_a_key_is_about_another_request_with_it() -> None:
    for call in (REPEATABLE, _with_statuses({"409": "retry"})):
        outcome = classify(Answer(409), call)
        assert isinstance(outcome, Retry)
        assert outcome.is_key_in_use
    assert classify(Answer(425), REPEATABLE) == Retry("POST /deals: answered 425")


def test_a_gateways_wish_for_a_pause_is_kept_whether_or_not_the_call_may_be_repeated() -> None:
    for status in (502, 503, 504):
        for call in (REPEATABLE, ONCE):
            assert getattr(classify(Answer(status, {"retry-after": "7"}), call), "after_seconds", None) == 7.0


@pytest.mark.parametrize(
    ("document", "quoted"),
    [
        ({"message": "no such stage"}, ": no such stage"),
        ({"error": "bad_request"}, ": bad_request"),
        ({"error": {"message": "inner", "code": 3}, "title": "outer"}, ": inner"),
        ({"title": "Bad", "detail": "amount too large"}, ": amount too large"),
        ({"detail": "a\r\nb\x1b[31mc\u2028d"}, ": a  b [31mc d"),
        ({"message": "m" * 300}, ": " + "m" * 199 + "…"),
        ({"message": {"deep": "secret"}}, ""),
        ({"echo": "customer data"}, ""),
        (["customer data"], ""),
    ],
)
def test_only_known_fields_of_an_error_are_quoted(document: object, quoted: str) -> None:
    assert classify(Answer(422, JSON, json.dumps(document).encode()), REPEATABLE) == Rejected(
        f"POST /deals: answered 422{quoted}"
    )


def test_a_secret_that_a_target_repeats_is_blotted_out_before_the_text_is_cut() -> None:
    call = Call("POST /deals", is_repeatable=True, addresses_record=False, secrets=("s3cr3t-token",))
    body = json.dumps({"message": "m" * 195 + "s3cr3t-token"}).encode()

    outcome = classify(Answer(422, JSON, body), call)

    assert isinstance(outcome, Rejected)
    assert "s3c" not in outcome.reason
    assert "s3cr3t-token" not in repr(call)


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (NoAnswer(was_sent=False, reason="refused"), TargetDown("POST /deals: refused")),
        (
            NoAnswer(was_sent=False, reason="bad certificate", fault=Fault.CONFIGURATION),
            Configuration("POST /deals: bad certificate"),
        ),
        (
            NoAnswer(was_sent=False, reason="all busy", fault=Fault.BUSY),
            Throttled("POST /deals: all busy", kind="concurrency", is_ours=True),
        ),
        (NoAnswer(was_sent=True, reason="lost"), Unknown("POST /deals: lost")),
        (
            NoAnswer(was_sent=True, reason="broke off", status=201),
            Unknown("POST /deals: broke off (the answer had begun with 201)"),
        ),
        (NoAnswer(was_sent=True, reason="odd", fault=Fault.CONFIGURATION), Unknown("POST /deals: odd")),
    ],
)
def test_no_answer_is_unknown_unless_nothing_was_sent(failure: NoAnswer, outcome: Outcome) -> None:
    assert classify_no_answer(failure, REPEATABLE.label, REPEATABLE.secrets) == outcome


@pytest.mark.parametrize(
    ("text", "date", "seconds"),
    [
        ("120", "", 120.0),
        (" 0 ", "", 0.0),
        ("999999", "", MAX_AFTER_SECONDS),
        ("9" * 5000, "", MAX_AFTER_SECONDS),
        ("-5", "", None),
        ("1.5", "", None),
        ("\u0661", "", None),
        ("soon", "", None),
        ("", "", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:58:59 GMT", 60.0),
        ("Friday, 31-Dec-99 23:59:59 GMT", "Fri Dec 31 23:58:59 1999", 60.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:59 +0100", 3600.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", "Sat, 01 Jan 2000 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 2099 23:59:59 GMT", "Sat, 01 Jan 2000 00:00:00 GMT", MAX_AFTER_SECONDS),
        ("Fri, 31 Dec 1999 23:59:59 GMT", "", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", "yesterday", None),
    ],
)
def test_retry_after_is_read_in_both_forms(text: str, date: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": text, "date": date}) == seconds


@given(st.text(), st.text())
def test_any_retry_after_is_in_bounds_or_ignored(text: str, date: str) -> None:
    seconds = retry_after_seconds({"retry-after": text, "date": date})

    assert seconds is None or 0 <= seconds <= MAX_AFTER_SECONDS


@given(
    st.integers(100, 999),
    st.dictionaries(st.sampled_from(["content-type", "location", "retry-after", "date"]), st.text()),
    st.none() | st.binary() | st.text().map(lambda text: json.dumps({"error": text, "deal": {"id": text}}).encode()),
)
def test_any_answer_has_an_outcome(status: int, headers: dict[str, str], body: bytes | None) -> None:
    for call in (WITH_ID, ONCE, RECORD):
        assert outcome_name(classify(Answer(status, headers, body), call))


def _with_statuses(statuses: dict[str, StatusWord]) -> Call:
    return Call("POST /deals", is_repeatable=True, addresses_record=False, statuses=statuses)
