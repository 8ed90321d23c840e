"""What breaks producers and consumers: every rule by the documentation's own examples, and by chance with a referee."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.config.contracts import ContractSettings
from outbox.flow.contract import NO_CONTRACTS, ContractSet
from outbox.flow.contract_changes import Effect, changes
from outbox.flow.contract_keywords import ANNOTATIONS, KEYWORDS
from outbox.flow.contract_narrowing import narrowings
from outbox.flow.contract_refs import circles
from outbox.flow.contract_set import compile_contracts
from outbox.flow.schema_view import View
from tests.kit.contracts import contracts_with
from tests.kit.schemas import Chance, Schema

DOCUMENT = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ([^|]+) \| `([^`]+)` \| `([^`]+)` \| ([pc?\- ]+) \|$", re.MULTILINE)
ROWS = [match.groups() for match in ROW.finditer(DOCUMENT)]
LETTERS = {Effect.BREAKS_PRODUCERS: "p", Effect.BREAKS_CONSUMERS: "c", Effect.UNKNOWN: "?"}
FILE = "order.confirmed/1.json"
REFEREE = jsonschema.Draft202012Validator
VALUES = 15


def lines(before: Schema, after: Schema) -> list[str]:
    return [str(change) for change in changes(contracts_with(before), contracts_with(after))]


def test_numbers_are_told_with_every_digit() -> None:
    schema = '{"properties": {"a": {"maximum": %s}, "b": {"enum": [%s, {"c": true}]}}}'

    def contracts_of(last: str) -> ContractSet:
        number = f"12345678901234567.8{last}"
        return compile_contracts("contracts", {FILE: schema % (number, number)})

    told = [str(change) for change in changes(contracts_of("8"), contracts_of("9"))]
    assert "order.confirmed@1 /a: breaks consumers: maximum: was 12345678901234567.88, is 12345678901234567.89" in told
    assert any('enum: was [12345678901234567.88, {"c": true}], is [12345678901234567.89,' in line for line in told)


@pytest.mark.parametrize(("rule", "before", "after", "breaks"), ROWS, ids=[f"{row[0]} {row[3]}" for row in ROWS])
def test_a_change_breaks_whom_the_documentation_says(rule: str, before: str, after: str, breaks: str) -> None:
    found = changes(contracts_with(json.loads(before)), contracts_with(json.loads(after)))

    letters = {LETTERS[change.effect] for change in found if change.effect in LETTERS}
    assert letters == set(breaks.replace("-", "").split())
    assert not letters or {change.rule for change in found} & set(re.findall(r"`([^`]+)`", rule))


def test_the_documentation_has_an_example_of_every_rule() -> None:
    told = {word for row in ROWS for word in re.findall(r"`([^`]+)`", row[0])}

    not_rules = {"$defs", "$anchor", "$dynamicRef", "$dynamicAnchor", "minContains", "maxContains"}
    assert KEYWORDS - ANNOTATIONS - not_rules <= told


def test_the_documentation_lists_every_setting() -> None:
    for name, field in ContractSettings.model_fields.items():
        default = "none" if field.default is None else f"`{field.default}`"
        (meaning,) = re.findall(rf"^\| `contracts\.{name}` \| {default} \| (.+) \|$", DOCUMENT, re.MULTILINE)
        assert re.sub(r" \(`\w+`\)", "", meaning) == field.description


def test_a_line_names_contract_path_effect_rule_and_both_values() -> None:
    before = {"properties": {"lines": {"type": "array", "items": {"properties": {"n": {"maximum": 10}}}}}}
    after = {"properties": {"lines": {"type": "array", "items": {"properties": {"n": {"maximum": 5}}}}}}

    assert lines(before, after) == ["order.confirmed@1 /lines/*/n: breaks producers: maximum: was 10, is 5"]
    assert lines(after, before) == ["order.confirmed@1 /lines/*/n: breaks consumers: maximum: was 5, is 10"]


def test_a_removed_file_breaks_both_and_a_new_one_nobody() -> None:
    one = contracts_with({"type": "object"})

    assert [str(change) for change in changes(one, NO_CONTRACTS)] == [
        "order.confirmed@1: breaks producers: file: was removed",
        "order.confirmed@1: breaks consumers: file: was removed",
    ]
    assert [str(change) for change in changes(NO_CONTRACTS, one)] == ["order.confirmed@1: compatible: file: is new"]


def test_a_published_version_that_changed_without_breaking_anybody_is_told() -> None:
    assert lines({"type": "object"}, {"type": "object", "title": "An order"}) == []
    assert lines({}, {"properties": {"note": {"type": "string"}}}) == [
        "order.confirmed@1: compatible: file: was changed, and breaks nobody"
    ]


def test_a_deprecation_is_told_and_breaks_nobody() -> None:
    assert lines({}, {"x-deprecated-on": "2027-03-31"}) == [
        'order.confirmed@1: compatible: x-deprecated-on: was not there, is "2027-03-31"'
    ]


def test_a_change_in_a_shared_file_is_a_change_of_all_that_refer_to_it() -> None:
    schema = {"properties": {"total": {"$ref": "../_shared/money.json"}}}

    found = changes(contracts_with(schema, money={"type": "string"}), contracts_with(schema, money={"type": "number"}))

    assert [str(change) for change in found] == [
        'order.confirmed@1 /total: breaks producers: type: was "string", is "number"',
        'order.confirmed@1 /total: breaks consumers: type: was "string", is "number"',
    ]


def test_alternatives_are_told_apart_by_a_property_that_each_needs() -> None:
    def kind(name: str, rule: Schema) -> Schema:
        return {"type": "object", "required": ["kind"], "properties": {"kind": {"const": name}, "n": rule}}

    before = {"oneOf": [kind("a", {"maximum": 5}), kind("b", {})]}
    assert lines(before, {"oneOf": [kind("b", {}), kind("a", {"maximum": 5})]}) == [
        "order.confirmed@1: compatible: file: was changed, and breaks nobody"
    ]
    (broken,) = lines(before, {"oneOf": [kind("a", {"maximum": 4}), kind("b", {})]})
    assert "breaks producers: oneOf: was" in broken


def test_a_schema_that_contains_itself_is_compared_to_its_end() -> None:
    def tree(rule: Schema) -> Schema:
        return {"properties": {"name": rule, "below": {"type": "array", "items": {"$ref": "#"}}}}

    assert lines(tree({"type": "string"}), tree({"type": "string", "title": "x"})) == []
    assert lines(tree({"type": "string"}), tree({"type": ["string", "null"]})) == [
        'order.confirmed@1 /name: breaks consumers: type: was "string", is ["string", "null"]'
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"enum": [True]}, {"enum": [1]}),
        ({"enum": [{"a": 1}]}, {"properties": {"a": {"type": "string"}}}),
        ({"required": ["a"]}, {"properties": {"a": {"type": "string"}}}),
        ({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, {"additionalProperties": False}),
        ({"anyOf": [{"properties": {"a": {}}}, {"required": ["b"]}]}, {"properties": {"b": {"type": "string"}}}),
        ({"patternProperties": {"^b": {}}}, {"properties": {"b": {"type": "string"}}}),
        ({"additionalProperties": {"type": "string"}}, {"properties": {"b": {"type": "integer"}}}),
        ({"allOf": [{"type": "string"}]}, {"allOf": [{"type": "string"}, False]}),
        ({"type": "number", "multipleOf": 0.1}, {"type": "number", "multipleOf": 0.2}),
        ({"type": "number"}, {"type": "number", "multipleOf": 1}),
        ({"const": "x"}, {"const": "x", "enum": ["y"]}),
        (
            {"allOf": [{"additionalProperties": {"type": "string"}}, {"properties": {"a": {}}}]},
            {
                "allOf": [
                    {"additionalProperties": {"type": "string"}},
                    {"properties": {"a": {}}, "additionalProperties": False},
                ]
            },
        ),
    ],
    ids=lambda value: json.dumps(value)[:50],
)
def test_what_hides_a_narrowing_does_not_hide_it_here(before: Schema, after: Schema) -> None:
    assert any(": breaks producers:" in line or ": cannot be judged:" in line for line in lines(before, after))


@settings(max_examples=300)
@given(st.integers(0, 2**48))
def test_what_is_called_harmless_takes_every_value_that_was_declared(seed: int) -> None:
    chance = Chance(Random(seed))
    before = chance.document()
    after = chance.changed(before)
    if list(circles({FILE: before})) or list(circles({FILE: after})):
        return
    for one, other in ((before, after), (after, before)):
        view = View({FILE: one}, FILE, one)
        if narrowings(view, View({FILE: other}, FILE, other)):
            continue
        old, new = (REFEREE(schema, format_checker=REFEREE.FORMAT_CHECKER) for schema in (one, other))
        for _ in range(VALUES):
            value = chance.value(view)
            assert not old.is_valid(value) or new.is_valid(value), f"{value} of {one} is refused by {other}"
