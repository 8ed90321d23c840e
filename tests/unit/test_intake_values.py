"""What of a request becomes type, key and id; who a client is; and how many requests there may be."""

from __future__ import annotations

from decimal import Decimal

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.intake.bucket import Bucket
from outbox.intake.commands import Client, CommandsRules, client_of, idempotency_key, token_digest
from outbox.intake.problems import Problem, RefusedRequest
from outbox.intake.received import Headers
from outbox.intake.rules import name_of
from outbox.intake.values import Constant, FromHeaders, FromPath, TypeRule, key_of, text_of
from outbox.model.intake import MAX_NAME_BYTES

EVENT = {
    "id": 7,
    "n": Decimal("1.50"),
    "big": Decimal("1E+300"),
    "yes": True,
    "none": None,
    "o": {"a": ["x", 1]},
    "é": "ü",
}


def text(path: str) -> str | None:
    return text_of(FromPath.of(path), Headers([]), EVENT, Problem.KEY_UNUSABLE)


def problem(call: object, *arguments: object) -> Problem:
    with pytest.raises(RefusedRequest) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.problem


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("id", "7"), ("n", "1.50"), ("big", "1E+300"), ("yes", "true"), ("none", None), ("there.is.none", None),
        ("o.a", "x/1"), ("[id, n, yes]", "7/1.50/true"), ("[id, none]", None), ("[]", None), ('"é"', "ü"),
        ("o.a[0]", "x"), ("length(id)", None), ("o.a[5]", None), ("$.o.a[1]", "1"), ("$.id", "7"), ("o.a[::-1]", "1/x"),
        ("sum([n, n])", "3.00"), ("n > `1.4`", "true"), ("id > o", None),
    ],
)  # fmt: skip
def test_a_path_says_what_stands_there_as_it_is_written(path: str, told: str | None) -> None:
    assert text(path) == told


NAMES = st.sampled_from(["a", "b", "id"])
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=2), lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner)
)


@given(st.lists(NAMES, min_size=1, max_size=4).map(".".join), VALUES)
def test_a_plain_path_finds_what_the_library_of_jmespath_finds(path: str, value: object) -> None:
    assert FromPath.of(path).find(value) == jmespath.search(path, value)


def test_what_is_neither_text_nor_a_number_is_refused() -> None:
    assert problem(text, "o") is Problem.KEY_UNUSABLE
    assert problem(text, "[o]") is Problem.KEY_UNUSABLE


def test_headers_are_joined_and_one_that_is_missing_is_none() -> None:
    headers = Headers([("A", "1"), ("b", " 2 "), ("C", "")])
    assert text_of(FromHeaders(["a", "B"]), headers, None, Problem.ID_UNUSABLE) == "1/2"
    assert text_of(FromHeaders(["a", "d"]), headers, None, Problem.ID_UNUSABLE) is None
    assert text_of(FromHeaders(["a", "c"]), headers, None, Problem.ID_UNUSABLE) is None


def test_a_type_comes_from_its_table_or_is_one_by_itself() -> None:
    headers = Headers([("Topic", "orders/create"), ("Bad", "a b"), ("Star", "a.*")])
    table = TypeRule(FromHeaders(["topic"]), {"orders/create": "order.created"})
    assert table.type_of(headers, None) == "order.created"
    assert TypeRule(FromHeaders(["topic"])).type_of(headers, None) == "orders/create"
    assert TypeRule(Constant("a.b")).type_of(headers, None) == "a.b"
    assert problem(TypeRule(FromHeaders(["topic"]), {"x": "y"}).type_of, headers, None) is Problem.TYPE_UNKNOWN
    for name in ("bad", "star", "missing"):
        assert problem(TypeRule(FromHeaders([name])).type_of, headers, None) is Problem.TYPE_UNUSABLE


def test_a_key_is_there_where_one_is_to_be() -> None:
    headers = Headers([("Long", "x" * 513), ("Fine", "x" * 512), ("Odd", "a\udcff")])
    assert key_of(None, headers, None) is None
    assert key_of(FromHeaders(["fine"]), headers, None) == "x" * 512
    for name in ("long", "odd", "missing"):
        assert problem(key_of, FromHeaders([name]), headers, None) is Problem.KEY_UNUSABLE


@given(st.text(min_size=1))
def test_every_id_has_a_name_that_the_table_takes_and_no_other_has(told: str) -> None:
    name = name_of(told)
    assert 0 < len(name.encode()) <= MAX_NAME_BYTES
    assert name.isprintable()
    assert name in {told, name_of(told)}
    assert name != name_of(told + "x")


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("abc", "abc"),
        ('"abc"', "abc"),
        ('"a b"', "a b"),
        (r'"a\"b\\c"', r"a\"b\c".replace('\\"', '"')),
        ("x" * 255, "x" * 255),
    ],
)
def test_an_idempotency_key_is_the_same_quoted_and_plain(value: str, key: str) -> None:
    assert idempotency_key(Headers([("idempotency-key", value)])) == key


@given(st.text(max_size=300))
def test_any_other_idempotency_key_is_refused_and_none_is_changed(value: str) -> None:
    try:
        key = idempotency_key(Headers([("Idempotency-Key", value)]))
    except RefusedRequest as refused:
        key = refused.problem
    malformed = {Problem.IDEMPOTENCY_KEY_MISSING, Problem.IDEMPOTENCY_KEY_MALFORMED}
    assert key in malformed or key in value.replace('\\"', '"').replace("\\\\", "\\") or "\\" in value


def test_a_token_is_compared_with_all_and_names_its_client() -> None:
    clients = [Client(name, [token_digest(f"{name}-{number}") for number in range(2)], ()) for name in ("a", "b")]
    rules = CommandsRules({}, clients, 0, (), 0)
    for name in ("a", "b"):
        for number in range(2):
            assert client_of(rules, Headers([("authorization", f"bearer {name}-{number}")])).name == name
    for wrong in ("Bearer a-2", "Bearer", "", "Basic a-0", "a-0", "Bearer \udcff", "Bearer a-0 b-0"):
        assert problem(client_of, rules, Headers([("Authorization", wrong)])) is Problem.TOKEN_INVALID
    twice = Headers([("Authorization", "Bearer a-0"), ("Authorization", "Bearer b-0")])
    assert problem(client_of, rules, twice) is Problem.HEADER_REPEATED


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    bucket = Bucket(per_second=2, size=3)
    assert [bucket.wait_seconds(100.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert bucket.wait_seconds(100.25) == pytest.approx(0.25)
    assert bucket.wait_seconds(100.5) == 0
    # A clock that goes back gives nothing.
    assert bucket.wait_seconds(50.0) > 0
    assert [bucket.wait_seconds(1000.0) for _ in range(4)] == [0, 0, 0, 0.5]
