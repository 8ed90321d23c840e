"""Reading YAML: what it means, where it stands, and what it must not be able to do."""

from __future__ import annotations

import pytest

from outbox.config.document import UnreadableError, read_document
from outbox.config.problems import Position

NESTED = "a: " + "[" * 5000 + "]" * 5000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", 1),
        ("a: -1.5", -1.5),
        ("a: true", True),
        ("a: null", None),
        ("a: ~", None),
        ("a:", None),
        ("a: '1'", "1"),
        ('a: "on"', "on"),
        ("a: 2026-03-01", "2026-03-01"),
        ("a: 10.0.0.1", "10.0.0.1"),
        ("a: localhost:80", "localhost:80"),
        ("a: 250ms", "250ms"),
        ("a: !!str 5", "5"),
        ("a: |\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_a_scalar_means_what_every_reader_of_yaml_takes_it_for(text: str, value: object) -> None:
    document = read_document(text)
    assert document.data == {"a": value}
    assert type(document.data["a"]) is type(value)
    assert document.findings == ()


@pytest.mark.parametrize(
    "word",
    ["yes", "NO", "On", "off", "010", "0x1F", "0o17", "1_000", "1:30", "1e3", ".5", "5.", ".inf", "+.5e1", "9" * 41],
)
def test_a_word_that_readers_of_yaml_do_not_agree_on_is_refused_as_a_value_and_as_a_key(word: str) -> None:
    assert [finding.path for finding in read_document(f"a: {word}").findings] == [("a",)]
    assert [finding.path for finding in read_document(f"a: {{{word}: 1}}").findings] == [("a", word)]
    assert read_document(f"a: '{word}'").findings == ()


def test_keys_are_text_whatever_they_look_like() -> None:
    assert read_document("1: a\ntrue: b\nnull: c\n2.5: d").data == {"1": "a", "true": "b", "null": "c", "2.5": "d"}


def test_every_key_and_entry_has_its_position() -> None:
    document = read_document("a:\n  b: 1\n  c:\n    - x\n    - {d: y}\n")
    assert document.positions == {
        ("a",): Position(1, 1),
        ("a", "b"): Position(2, 3),
        ("a", "c"): Position(3, 3),
        ("a", "c", 0): Position(4, 7),
        ("a", "c", 1): Position(5, 7),
        ("a", "c", 1, "d"): Position(5, 8),
    }


def test_anchors_and_merge_keys_work_and_own_keys_win() -> None:
    text = """\
first: &first {a: 1, b: {c: 2}}
second: &second {<<: *first, b: 3}
third: {<<: [*second, {a: 9, d: 4}], d: 5}
fourth: *first
"""
    document = read_document(text)
    assert document.findings == ()
    assert document.data["second"] == {"a": 1, "b": 3}
    assert document.data["third"] == {"a": 1, "b": 3, "d": 5}
    assert document.data["fourth"] == {"a": 1, "b": {"c": 2}}
    assert document.positions[("third", "d")] == Position(3, 38)


def test_a_merge_key_that_merges_no_mapping_is_a_finding() -> None:
    assert [finding.path for finding in read_document("a: {<<: 1}\nb: {<<: [1]}").findings] == [
        ("a", "<<"),
        ("b", "<<"),
    ]


def test_the_first_of_two_equal_keys_is_kept_and_the_second_is_a_finding() -> None:
    document = read_document("a: {b: 1, 'b': 2}")
    assert document.data == {"a": {"b": 1}}
    assert [(finding.path, finding.position) for finding in document.findings] == [(("a", "b"), Position(1, 11))]


def test_equal_nodes_do_not_share_data() -> None:
    data = read_document("a: &x {k: []}\nb: *x").data
    assert data["a"] == data["b"]
    assert data["a"] is not data["b"]


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE_BOMB = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{','.join([f'*{before}'] * 10)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BOMB, "more than 100000 values when its aliases are expanded"),
        (MERGE_BOMB, "more than 100000 values when its aliases are expanded"),
        ("a: &a [*a]", "nested deeper than 40 levels by its aliases"),
        ("a: &a {<<: *a}", "nested deeper than 40 levels by its aliases"),
        (NESTED, "nested deeper than 40 levels"),
        ("a: *secret", "not valid YAML: found undefined alias …"),
        ("a: &secret 1\nb: &secret 2", "not valid YAML: found duplicate anchor …; first occurrence, second occurrence"),
        ("a: !secret!x 1", "not valid YAML: while parsing a node, found undefined tag handle …"),
        ('a: "\\UFFFFFFFF"', "not valid YAML: an escape that is no character"),
        ('a: "unfinished', "not valid YAML: while scanning a quoted scalar, found unexpected end of stream"),
        ("a: b: c", "not valid YAML: mapping values are not allowed here"),
        ("a: %x", "not valid YAML: while scanning for the next token, found character '%' that cannot start any token"),
        ("just text", "the top level must be a mapping such as 'postgres:' and 'flows:'"),
    ],
    ids=lambda value: value[:30],
)
def test_what_is_no_usable_document_is_refused_without_quoting_it(text: str, problem: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        read_document(text)
    assert caught.value.problem == problem
