import json
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.flow.mapping import FieldRule, Mapping
from outbox.model.errors import MappingError, Misconfigured

IDENTITY = Mapping.compile([])
MAPPING = Mapping.compile(
    [
        FieldRule("customer.name", "deal.title"),
        FieldRule("lines[0].sku", "deal.first_sku"),
        FieldRule("total", "amount", required=True),
        FieldRule("note", "note", default="none", has_default=True),
        FieldRule(None, "source", default="erp", has_default=True),
    ]
)


def test_nested_paths_are_read_and_created() -> None:
    payload = b'{"customer": {"name": "Anna"}, "lines": [{"sku": "A-1"}], "total": 12.50, "note": "x"}'

    assert MAPPING.apply(payload) == {
        "deal": {"title": "Anna", "first_sku": "A-1"},
        "amount": Decimal("12.50"),
        "note": "x",
        "source": "erp",
    }


def test_missing_optional_fields_are_left_out_and_defaults_stand_in() -> None:
    assert MAPPING.apply(b'{"total": 1}') == {"amount": 1, "note": "none", "source": "erp"}


@pytest.mark.parametrize("payload", [b'{"total": 1, "customer": null}', b'{"total": 1, "lines": []}'])
def test_a_null_parent_and_a_short_list_count_as_missing(payload: bytes) -> None:
    assert "deal" not in MAPPING.apply(payload)


def test_an_explicit_null_is_kept_even_where_there_is_a_default() -> None:
    assert MAPPING.apply(b'{"total": 1, "note": null}')["note"] is None


@pytest.mark.parametrize(
    ("payload", "field", "reason"),
    [
        (b"{}", "total", "is missing"),
        (b'{"total": null}', "total", "is null"),
        (b'{"customer": "secret"}', "customer.name", "'customer' is a string, expected an object"),
        (b'{"lines": 5}', "lines[0].sku", "'lines' is a number, expected a list"),
        (b'{"customer": [1]}', "customer.name", "'customer' is a list, expected an object"),
    ],
)
def test_what_is_wrong_with_a_field_is_named_by_kind(payload: bytes, field: str, reason: str) -> None:
    with pytest.raises(MappingError) as caught:
        MAPPING.apply(payload)

    assert (caught.value.field, caught.value.reason) == (field, reason)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"[1]", "is a list, expected an object"),
        (b"null", "is null, expected an object"),
        (b'{"a": "\xff"}', "is not valid UTF-8 at byte 7"),
        (b'{"secret": }', "is not valid JSON at character 11: Expecting value"),
        (b"", "is not valid JSON at character 0: Expecting value"),
        (b'\xef\xbb\xbf{"a": 1}', "is not valid JSON at character 0: Expecting value"),
        (b'{"a": 1} {"secret": 2}', "is not valid JSON at character 9: Extra data"),
        (b'{"a": "\\q"}', "is not valid JSON at character 7: Invalid \\escape"),
        (b'{"a": NaN}', "has NaN, which is not JSON"),
        (b'{"a": [-Infinity]}', "has -Infinity, which is not JSON"),
        (b'{"a": {"secret": 1, "secret": 2}}', "has the same key twice in one object"),
        (b'{"a": 1e99999999999999999999}', "has a number whose exponent is out of any range"),
        (b'{"a": ' + b"[" * 100_000, "is nested too deep"),
        (b'{"a": "\\ud800"}', "has half of a surrogate pair at character 7"),
        (b'{"\\udc00\\ud800": 1}', "has half of a surrogate pair at character 2"),
        (b'{"a": "\\ud83d\\ud83d\\ude00"}', "has half of a surrogate pair at character 7"),
    ],
)
def test_a_payload_that_cannot_be_trusted_is_refused_without_its_content(payload: bytes, reason: str) -> None:
    with pytest.raises(MappingError) as caught:
        IDENTITY.apply(payload)

    assert (caught.value.field, caught.value.reason) == ("(document)", reason)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("text", ['"\\ud83d\\ude00"', '"\\\\ud800"', '"\\uD83D\\uDE00 \\u0041"'])
def test_whole_pairs_and_escaped_backslashes_are_no_half_pairs(text: str) -> None:
    assert IDENTITY.apply(f'{{"a": {text}}}'.encode()) == {"a": json.loads(text)}


@pytest.mark.parametrize(
    "number",
    [
        "1234567890123456789",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "0.10",
        "1E+400",
        "-0.00",
        "79228162514264337593543950336.000000000000000000001",
        "9" * 5000,
    ],
)
def test_numbers_keep_every_digit(number: str) -> None:
    document = IDENTITY.apply(f'{{"n": {number}}}'.encode())

    assert _encoded(document) == f'{{"n":{number}}}'.encode()


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ([FieldRule("a", "x"), FieldRule("b", "x")], "'x' is set twice"),
        ([FieldRule("a", "x.y"), FieldRule("b", "x")], "'x' is a value and the parent of 'x.y'"),
        ([FieldRule("a", "x..y")], "empty part"),
        ([FieldRule("a", "")], "empty part"),
        ([FieldRule(".a", "x")], "source_field '.a' has an empty part"),
        ([FieldRule("a", "lines.0")], "cannot be lists"),
        ([FieldRule(None, "x")], "neither a source_field nor a default"),
        ([FieldRule("a", "x", default=1, has_default=True, required=True)], "could never be used"),
        ([FieldRule("a", "x", default=float("nan"), has_default=True)], "not a JSON value"),
        ([FieldRule("a", "x", default=2**64, has_default=True)], "not a JSON value"),
        ([FieldRule("a", "x", default={"y": {1: 2}}, has_default=True)], "not a JSON value"),
        ([FieldRule("a", "x", default=["\ud800"], has_default=True)], "not a JSON value"),
    ],
)
def test_rules_that_contradict_are_refused(rules: list[FieldRule], problem: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        Mapping.compile(rules)

    assert problem in caught.value.problem


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(Misconfigured) as caught:
        Mapping.compile([FieldRule(None, "x"), FieldRule("a", "y."), FieldRule("b", "x")])

    assert caught.value.problem.count(";") == 2


def test_a_default_is_not_shared_between_documents() -> None:
    mapping = Mapping.compile([FieldRule("tags", "tags", default=[], has_default=True)])

    first = mapping.apply(b"{}")["tags"]
    assert isinstance(first, list)
    first.append("changed")

    assert mapping.apply(b"{}") == {"tags": []}


@given(st.binary() | st.text().map(str.encode) | st.binary().map(lambda tail: b'{"total": ' + tail))
def test_any_bytes_are_mapped_or_refused_with_a_mapping_error(payload: bytes) -> None:
    for mapping in (IDENTITY, MAPPING):
        try:
            mapping.apply(payload)
        except MappingError as refused:
            assert refused.reason  # noqa: PT017  # what else is raised fails the test


_NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.decimals(allow_nan=False, allow_infinity=False)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.text() | _NUMBERS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), _VALUES))
def test_whatever_json_can_say_survives_reading_and_writing(document: dict[str, object]) -> None:
    once = IDENTITY.apply(_encoded(document))

    assert once == document
    assert _encoded(IDENTITY.apply(_encoded(once))) == _encoded(once)


def _encoded(document: object) -> bytes:
    def number(value: object) -> orjson.Fragment:
        assert isinstance(value, Decimal)
        return orjson.Fragment(str(value))

    return orjson.dumps(document, default=number)
