"""Contracts of many levels are compared in about as many steps, and without end of stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from outbox.flow import contract_narrowing
from outbox.flow.contract_changes import changes
from outbox.flow.contract_compared import Reason
from outbox.flow.contract_level import Level
from outbox.flow.contract_narrowing import narrowings
from outbox.flow.contract_refs import Schemas
from outbox.flow.schema_view import View
from tests.kit.contracts import contracts_with
from tests.kit.schemas import Schema

FILE = "order.confirmed/1.json"


def nullable(depth: int, innermost: Schema, ending: Schema | None = None) -> Schema:
    """Make objects in objects, each of which may be null; ``ending`` stands beside the innermost."""
    definitions: dict[str, Schema] = {"0": innermost}
    for level in range(1, depth + 1):
        inside = {"a": {"$ref": f"#/$defs/{level - 1}"}, **({} if ending is None else {"b": ending})}
        definitions[str(level)] = {"anyOf": [{"type": "object", "properties": inside}, {"type": "null"}]}
    return {"$defs": definitions, "$ref": f"#/$defs/{depth}"}


def view(schema: Schema) -> View:
    schemas: Schemas = {FILE: schema}
    return View(schemas, FILE, schema)


@pytest.mark.parametrize(("innermost", "changed"), [({"type": "string"}, {"type": "string", "maxLength": 3}), ({}, {})])
def test_the_number_of_comparisons_grows_as_the_levels_do(
    innermost: Schema, changed: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0
    part = contract_narrowing._part

    def counted(a: View, b: View, level: Level) -> Iterator[Reason]:
        nonlocal compared
        compared += 1
        return part(a, b, level)

    monkeypatch.setattr(contract_narrowing, "_part", counted)
    for depth in (10, 40):
        compared = 0
        narrowings(view(nullable(depth, innermost, {"const": 1})), view(nullable(depth, changed, {"const": 1})))
        assert depth < compared < 25 * depth


@pytest.mark.parametrize("depth", [60, 100])
def test_sixty_levels_are_compared_to_the_end(depth: int) -> None:
    before, after = nullable(depth, {"type": "string"}), nullable(depth, {"type": "string", "maxLength": 3})
    told = [str(change) for change in changes(contracts_with(before), contracts_with(after))]
    assert told
    assert all("breaks producers: anyOf" in line for line in told)
    assert not changes(contracts_with(before), contracts_with(nullable(depth, {"type": "string"})))


def test_a_path_through_many_levels_is_told_whole() -> None:
    def objects(depth: int, innermost: Schema) -> Schema:
        definitions = {str(level): {"properties": {"a": {"$ref": f"#/$defs/{level - 1}"}}} for level in range(1, depth)}
        return {"$defs": {"0": innermost, **definitions}, "$ref": f"#/$defs/{depth - 1}"}

    found = narrowings(view(objects(90, {"maximum": 2})), view(objects(90, {"maximum": 1})))
    assert [(reason.path, reason.rule) for reason in found] == [("/a" * 89, "maximum")]


def test_circles_are_decided_further_up_also_where_they_are_met_again() -> None:
    def tree(leaf: Schema) -> Schema:
        side = {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}
        node = {"type": "object", "properties": {"left": side, "right": side, "leaf": leaf}}
        return {
            "$defs": {"node": node},
            "properties": {"top": {"$ref": "#/$defs/node"}, "other": {"$ref": "#/$defs/node"}},
        }

    found = narrowings(view(tree({"maximum": 2})), view(tree({"maximum": 1})))
    sides = {(f"/{top}/{side}", "anyOf") for top in ("top", "other") for side in ("left", "right")}
    assert {(reason.path, reason.rule) for reason in found} == {
        ("/top/leaf", "maximum"),
        ("/other/leaf", "maximum"),
        *sides,
    }
    assert not narrowings(view(tree({"maximum": 1})), view(tree({"maximum": 2})))
