"""A payload and its contract: numbers are exact, what is ambiguous is refused, and no value is ever told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.flow.contract import check, check_body
from outbox.flow.contract_gate import ContractGate
from outbox.model.contract import Violation, breach
from outbox.model.envelope import Envelope
from tests.kit.contracts import TYPE, contracts_with

CANARY = "CANARY-0815"
ORDER = {
    "type": "object",
    "required": ["order_ref"],
    "properties": {
        "order_ref": {"type": "string", "maxLength": 20},
        "lines": {"type": "array", "items": {"$ref": "../_shared/line.json"}},
    },
}
LINE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"quantity": {"type": "integer", "minimum": 1}, "note": {"type": ["string", "null"]}},
}
CONTRACTS = contracts_with(ORDER, line=LINE)


def said(schema: dict[str, object], body: bytes) -> str:
    return "; ".join(map(str, check(contracts_with(schema), TYPE, 1, body)))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"order_ref": "SO-1"}', None),
        ('{"order_ref": "SO-1", "lines": [{"quantity": 3, "note": null}]}', None),
        ("{}", "/order_ref: rule required, found nothing"),
        ('{"order_ref": 17}', "/order_ref: rule type (string), found a number"),
        ('{"order_ref": "123456789012345678901"}', "/order_ref: rule maxLength (20), found a string"),
        ('{"order_ref": "", "lines": [{"quantity": 0}]}', "/lines/0/quantity: rule minimum (1), found a number"),
        ('{"order_ref": "", "lines": [{"note": {}}]}', "/lines/0/note: rule type (null or string), found an object"),
        (
            '{"order_ref": "", "lines": [{"secret name": 1}]}',
            "/lines/0/*: rule additionalProperties, found a property that the contract does not have",
        ),
        ("[]", "(document): rule type (object), found a list"),
    ],
)
def test_a_violation_names_path_rule_and_kind_of_value(body: str, expected: str | None) -> None:
    violations = check(CONTRACTS, TYPE, 1, body.encode())

    assert [str(one) for one in violations] == ([] if expected is None else [expected])


def test_names_of_the_payload_are_shown_where_it_is_a_sample() -> None:
    contract = CONTRACTS.contract(TYPE, 1)
    assert contract is not None

    (violation,) = check_body(contract, b'{"order_ref": "", "lines": [{"quantiti": 1}]}', shows_names=True)

    assert str(violation).startswith("/lines/0/quantiti: rule additionalProperties")


def test_a_complaint_is_for_whoever_takes_payloads_from_outside() -> None:
    strict = ContractGate(CONTRACTS, without="reject")

    assert strict.complaint(TYPE, 1, b'{"order_ref": "SO-1"}') is None
    assert strict.complaint(TYPE, 1, b"{}") == "/order_ref: rule required, found nothing"
    assert strict.complaint(TYPE, 2, b"{}") == "has no contract"
    assert ContractGate(CONTRACTS).complaint(TYPE, 2, b"{}") is None


def test_a_type_or_version_without_contract_has_no_violations() -> None:
    assert check(CONTRACTS, TYPE, 2, b"{}") == ()
    assert check(CONTRACTS, "order.cancelled", 1, b"not even JSON") == ()


@pytest.mark.parametrize(
    ("rule", "kept", "broken"),
    [
        (
            {"multipleOf": 0.01},
            ["0.07", "1.15", "19.99", "1e2", "12345678901234567890.07"],
            ["0.071", "1.150000000001"],
        ),
        ({"maximum": 9007199254740993}, ["9007199254740993"], ["9007199254740994"]),
        ({"const": 9223372036854775807}, ["9223372036854775807"], ["9223372036854775806"]),
        ({"type": "integer"}, ["3.0", "1e2", "123456789012345678901234567890"], ["3.5", "1e-400"]),
        ({"maximum": 1}, ["1.0", "-1e400"], ["1.00000000000000000001", "1e400"]),
        ({"enum": [1.10]}, ["1.1", "1.10", "11e-1"], ["1.1000000000000000001"]),
    ],
    ids=json.dumps,
)
def test_numbers_are_judged_with_every_digit(rule: dict[str, object], kept: list[str], broken: list[str]) -> None:
    contracts = contracts_with({"properties": {"n": rule}})

    assert [text for text in kept if check(contracts, TYPE, 1, f'{{"n": {text}}}'.encode())] == []
    assert [text for text in broken if not check(contracts, TYPE, 1, f'{{"n": {text}}}'.encode())] == []


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"a": 1, "a": 2}', "the same key twice in one object"),
        (b'{"a": "\\ud800"}', "half of a surrogate pair"),
        (b'{"\\udc00": 1}', "half of a surrogate pair"),
        (b'{"a": NaN}', "a constant that is not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number of too many digits"),
        (b'{"a": 0.' + b"9" * 1001 + b"}", "a number of too many digits"),
        (b'{"a": 1e99999999999999999999}', "a number whose exponent is out of any range"),
        (b'{"a": 1e-1000000}', "a number whose exponent is out of any range"),
        (b"[" * 300 + b"]" * 300, "lists and objects nested deeper than 200 levels"),
        (b"[" * 100_000 + b"]" * 100_000, "lists and objects nested deeper than 200 levels"),
        (b'{"a": }', "text that is not JSON, at character 6"),
        (b'{"a": "\xff"}', "bytes that are not UTF-8, at byte 7"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_what_readers_could_take_in_two_ways_breaks_any_contract(body: bytes, found: str) -> None:
    assert check(contracts_with({}), TYPE, 1, body) == (Violation("", "json", found),)


def test_what_json_writers_do_is_read() -> None:
    assert said({"properties": {"a": {"const": "\u0000"}}}, b'{"a": "\\u0000"}') == ""
    assert said({"properties": {"a": {"const": "😀"}}}, b'{"a": "\\ud83d\\ude00"}') == ""
    assert said({}, b"[" * 200 + b"]" * 200) == ""
    assert said({}, json.dumps([[{}] * 3] * 300).encode()) == ""


def test_a_format_is_a_rule() -> None:
    dates = {"properties": {"at": {"format": "date-time"}}}

    assert said(dates, b'{"at": "2026-03-31T22:00:00Z"}') == ""
    assert said(dates, b'{"at": "yesterday"}') == "/at: rule format (date-time), found a string"


def test_a_million_wrong_entries_are_one_violation() -> None:
    body = json.dumps({"a": list(range(200_000))}).encode()

    assert said({"properties": {"a": {"items": {"type": "string"}}}}, body) == (
        "/a/0: rule type (string), found a number"
    )


@pytest.mark.parametrize("keyword", ["pattern", "patternProperties"])
def test_an_explosive_pattern_is_matched_in_linear_time(keyword: str) -> None:
    rule: dict[str, object] = {"pattern": "^(a+)+$"} if keyword == "pattern" else {"patternProperties": {"^(a+)+$": {}}}
    text = "a" * 200_000 + "!"
    body = json.dumps({"n": text} if keyword == "pattern" else {"n": {text: 1}}).encode()

    violated = said({"properties": {"n": rule}}, body)

    assert violated == ("/n: rule pattern, found a string" if keyword == "pattern" else "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])) | st.just(CANARY),
    lambda children: st.lists(children) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), children),
)
RULES = st.sampled_from(
    [
        *({"type": "null"}, {"const": 0}, {"enum": ["a"]}, {"maxLength": 1}, {"pattern": "^x$"}, {"maximum": -1}),
        *({"additionalProperties": False}, {"required": ["zz"]}, {"propertyNames": {"maxLength": 0}}, {"not": {}}),
        *(
            {"anyOf": [{"type": "null"}, {"maxItems": 0}]},
            {"oneOf": [{}, {}]},
            {"contains": {"const": 1}},
            {"format": "uuid"},
        ),
        *({"minProperties": 9}, {"if": {}, "then": False}, {"dependentRequired": {"a": ["b"]}}, {"uniqueItems": True}),
        *({"unevaluatedProperties": False}, {"items": False}, {"multipleOf": 0.5}, {"patternProperties": {"": False}}),
    ]
)


@given(JSON, RULES, RULES)
def test_a_violation_never_tells_a_value_or_a_name_of_the_payload(value: object, one: object, other: object) -> None:
    contracts = contracts_with({"allOf": [one, {"additionalProperties": other}]})
    body = json.dumps({CANARY: value, "n": [CANARY, {CANARY: value}]}).encode()

    assert CANARY not in breach(TYPE, 1, check(contracts, TYPE, 1, body))


def envelope(body: bytes, *, version: int = 1, claimed_bytes: int | None = None) -> Envelope:
    return Envelope("m-1", 7, TYPE, version, "K", body, 0, {}, claimed_bytes)


def test_the_relay_refuses_what_breaks_its_contract_and_lets_the_rest_through() -> None:
    gate = ContractGate(CONTRACTS)

    assert gate.refusal(envelope(b'{"order_ref": "SO-1"}')) is None
    assert gate.refusal(envelope(b"{}", version=2)) is None
    assert gate.refusal(envelope(b'{"order_ref": 1}')) == (
        "breaks contract order.confirmed@1: /order_ref: rule type (string), found a number"
    )


def test_what_has_no_contract_is_refused_where_the_settings_say_so() -> None:
    assert ContractGate(CONTRACTS, without="reject").refusal(envelope(b"{}", version=2)) == (
        "order.confirmed@2 has no contract, and contracts.without is reject; known versions are 1"
    )


def test_what_the_relay_has_not_read_is_refused_unless_the_settings_let_it_through() -> None:
    unread = envelope(b"", claimed_bytes=20_000_000)

    refusal = ContractGate(CONTRACTS).refusal(unread)

    assert refusal is not None
    assert "20000000 bytes, too many to be checked against contract order.confirmed@1" in refusal
    assert ContractGate(CONTRACTS, claimed="allow").refusal(unread) is None
    assert ContractGate(CONTRACTS).refusal(envelope(b"", version=2, claimed_bytes=20_000_000)) is None
