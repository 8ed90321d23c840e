"""The whole decision about a request, without a server: proven first, then read, then judged by its contract."""

from __future__ import annotations

import json

import pytest

from outbox.intake.problems import Problem, RefusedRequest
from outbox.intake.rules import SourceRules, prepare
from outbox.intake.scheme_hmac import Hmac
from outbox.intake.values import FromPath, TypeRule
from tests.kit.intake_requests import mac, received

KEY = b"0123456789abcdef"


def rules(*, is_list: bool = False) -> SourceRules:
    return SourceRules(
        "git", Hmac([KEY], "X-Sig"), TypeRule(FromPath.of("type")), None, FromPath.of("id"),
        is_list=is_list, version=3, max_body_bytes=1000, content_types={"application/json"}, window_seconds=300,
        remember_seconds=60,
    )  # fmt: skip


def signed(body: bytes, **more: str) -> dict[str, str]:
    return {"X-Sig": mac(KEY, body).hex(), "Content-Type": "application/json"} | more


def test_a_contract_is_asked_about_type_version_and_the_exact_bytes_and_has_the_last_word() -> None:
    asked: list[tuple[str, int, bytes]] = []

    def check(event_type: str, version: int, payload: bytes) -> str | None:
        asked.append((event_type, version, payload))
        return "/amount: rule type, found a string" if b'"1"' in payload else None

    good, bad = b'{"type": "a.b",  "amount": 1}', b'{"type": "a.b", "amount": "1"}'
    assert len(prepare(rules(), received(good, signed(good)), check).drafts) == 1
    with pytest.raises(RefusedRequest) as caught:
        prepare(rules(), received(bad, signed(bad)), check)
    assert caught.value.problem is Problem.CONTRACT_VIOLATED
    assert caught.value.document()["detail"] == (
        "a.b@3: /amount: rule type, found a string; send what the contract says"
    )
    assert asked == [("a.b", 3, good), ("a.b", 3, bad)]


def test_of_a_list_the_first_refusal_is_told_and_the_others_are_drafts() -> None:
    body = json.dumps([{"type": "a", "n": n} if n % 2 else {"n": n} for n in range(5)]).encode()
    prepared = prepare(rules(is_list=True), received(body, signed(body)), lambda *_: None)
    assert [json.loads(draft.payload)["n"] for draft in prepared.drafts] == [1, 3]
    assert prepared.refusal is not None
    assert prepared.refusal.detail.startswith("event 0 of the list: ")
    nothing = b'[{"n": 1}]'
    with pytest.raises(RefusedRequest):
        prepare(rules(is_list=True), received(nothing, signed(nothing)), lambda *_: None)


@pytest.mark.parametrize("body", [b"\xff", b"[" * 5000, b"{", b'{"a": 1, "a": 2}'])
def test_nothing_is_read_before_it_is_proven(body: bytes) -> None:
    headers = signed(b"another body") | {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    with pytest.raises(RefusedRequest) as caught:
        prepare(rules(), received(body, headers), lambda *_: None)
    assert caught.value.problem is Problem.SIGNATURE_INVALID


def test_an_id_that_the_table_cannot_hold_is_known_by_its_hash_and_no_trace_that_is_none_is_kept() -> None:
    long, plain = json.dumps({"type": "a", "id": "x" * 300}).encode(), b'{"type": "a", "id": "x"}'
    (hashed,) = prepare(rules(), received(long, signed(long)), lambda *_: None).drafts
    assert hashed.name.startswith("sha256:")
    odd = signed(plain, traceparent="ä", tracestate="a=b")
    (named,) = prepare(rules(), received(plain, odd), lambda *_: None).drafts
    assert named.name == "x"
    assert json.loads(named.headers) == {"intake_source": "git", "intake_id": "x", "tracestate": "a=b"}
