"""Random schemas, random changes of them, and values that a schema allows and declares."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from outbox.flow.contract_keywords import every_schema
from outbox.flow.contract_level import Here, Level, parts
from outbox.flow.schema_view import View

Schema = dict[str, Any]
NAMES = ("a", "b", "c")
_TEXTS = ("", "x", "xy", "aab", "2026-03-31")
_NUMBERS = (-1, 0, 1, 2, 3, 6, 0.5, 1.5)
_TYPES = ("null", "boolean", "string", "number", "integer", "array", "object")
_DEEPEST = 3


@dataclass(frozen=True, slots=True)
class Chance:
    """Makes schemas and values by chance."""

    random: Random

    def schema(self, depth: int = 0) -> Schema | bool:
        """Make a schema."""
        if depth and self.random.random() < 0.08:
            return self.random.random() < 0.7
        kinds: list[Callable[[int], Schema]] = [self._text, self._number, self._listed]
        if depth < _DEEPEST:
            kinds += [self._object] * 4 + [self._list, self._composed, self._composed, self._reference, self._odd]
        schema = self.random.choice(kinds)(depth)
        if self.random.random() < 0.15:
            schema["type"] = self.random.sample(_TYPES, self.random.randint(1, 3))
        return schema

    def document(self) -> Schema:
        """Make a schema with definitions to refer to."""
        schema = self.schema()
        assert isinstance(schema, dict)
        return schema | {"$defs": {"d": self._some(_DEEPEST), "e": self._object(2)}}

    def changed(self, document: Schema) -> Schema:
        """Return a document with a few changes."""
        new = copy.deepcopy(document)
        for _ in range(self.random.choice((1, 1, 2))):
            node: Any = self.random.choice([one for _, one in every_schema(new)])
            fresh = self._some(2)
            word = self.random.choice([*node, *fresh, "title"])
            if word in {"$defs", "title"}:
                continue
            if word in fresh:
                node[word] = fresh[word]
            else:
                del node[word]
        return new

    def value(self, view: View, here: Here | None = None, depth: int = 0) -> object:
        """Make a value that a schema may allow, of declared properties only."""
        here, view = here or Here(), view.followed()
        ours = parts(view) or [view.as_true()]
        alternatives = [one for part in ours for word in ("anyOf", "oneOf") for one in part.each(word)]
        if alternatives and self.random.random() < 0.7:
            return self.value(self.random.choice(alternatives), here.opened(), depth)
        part = self.random.choice(ours)
        values = part.values()
        if values and self.random.random() < 0.9:
            return self.random.choice(list(values))
        kind = self.random.choice(sorted(part.types()) or _TYPES)
        if kind == "object" and depth < _DEEPEST + 1:
            return self._members(ours, Level.of(ours, (), here), depth)
        if kind == "array" and depth < _DEEPEST + 1:
            level = Level.of(ours, (), here)
            count = self.random.randint(0, 3)
            return [self.value(part.entry(place), level.entry(place), depth + 1) for place in range(count)]
        return self._scalar(kind)

    def _members(self, ours: list[View], level: Level, depth: int) -> dict[str, object]:
        names = set(NAMES if level.names is None else level.names)
        declared = {name: one for part in ours for name, one in part.named("properties").items()}
        rest = next((part.rest() for part in ours if part.rest() is not None), None)
        if rest is not None:
            names |= {*NAMES, "z"}
        needed = {name for part in ours for name in part.names("required")}
        chosen = [name for name in sorted(names) if name in needed or self.random.random() < 0.5]
        return {
            name: self.value(declared.get(name) or rest or ours[0].as_true(), level.property(name), depth + 1)
            for name in chosen
        }

    def _scalar(self, kind: str) -> object:
        match kind:
            case "null":
                return None
            case "boolean":
                return self.random.random() < 0.5
            case "string":
                return self.random.choice(_TEXTS)
            case "integer":
                return self.random.choice([number for number in _NUMBERS if isinstance(number, int)])
            case _:
                return self.random.choice(_NUMBERS)

    def _some(self, depth: int) -> Schema:
        schema = self.schema(depth)
        return schema if isinstance(schema, dict) else {}

    def _pick(self, **rules: object) -> Schema:
        return {name: value for name, value in rules.items() if self.random.random() < 0.4}

    def _text(self, _depth: int) -> Schema:
        pattern = self.random.choice(("^x", "a+b"))
        return {"type": "string"} | self._pick(
            minLength=self.random.randint(0, 2), maxLength=self.random.randint(1, 4), pattern=pattern, format="date"
        )

    def _number(self, _depth: int) -> Schema:
        choose = self.random.choice
        return {"type": choose(("integer", "number"))} | self._pick(
            minimum=choose((-1, 0, 1)),
            maximum=choose((1, 2, 3)),
            exclusiveMinimum=choose((-1, 0)),
            exclusiveMaximum=choose((2, 3)),
            multipleOf=choose((1, 2, 3, 0.5, 1.5)),
        )

    def _listed(self, _depth: int) -> Schema:
        values = self.random.sample([*_TEXTS, *_NUMBERS, None, True, {"a": 1}, [1], {"c": "x"}], 3)
        return {"enum": values} if self.random.random() < 0.7 else {"const": values[0]}

    def _object(self, depth: int) -> Schema:
        properties = {name: self.schema(depth + 1) for name in NAMES if self.random.random() < 0.6}
        rare = {
            "patternProperties": {self.random.choice(("^b", "z")): self.schema(depth + 1)},
            "propertyNames": {"maxLength": 1},
            "dependentRequired": {self.random.choice(NAMES): [self.random.choice(NAMES)]},
            "minProperties": 1,
            "maxProperties": self.random.randint(1, 3),
            "unevaluatedProperties": False,
        }
        return (
            {"type": "object", "properties": properties}
            | self._pick(
                required=self.random.sample(NAMES, self.random.randint(0, 2)),
                additionalProperties=self.random.choice((False, True, self.schema(depth + 1))),
            )
            | {word: value for word, value in rare.items() if self.random.random() < 0.08}
        )

    def _list(self, depth: int) -> Schema:
        return {"type": "array"} | self._pick(
            items=self.schema(depth + 1),
            prefixItems=[self.schema(depth + 1)],
            minItems=1,
            maxItems=self.random.randint(1, 3),
            uniqueItems=self.random.random() < 0.5,
            contains=self.schema(depth + 1),
        )

    def _composed(self, depth: int) -> Schema:
        word = self.random.choice(("allOf", "anyOf", "oneOf"))
        beside = self._object(depth + 1) if self.random.random() < 0.3 else {}
        return beside | {word: [self.schema(depth + 1) for _ in range(self.random.randint(1, 3))]}

    def _reference(self, depth: int) -> Schema:
        beside = self._object(depth + 1) if self.random.random() < 0.3 else {}
        return beside | {"$ref": f"#/$defs/{self.random.choice('de')}"}

    def _odd(self, depth: int) -> Schema:
        one = self.schema(depth + 1)
        return self.random.choice(
            (
                {"not": one},
                {"if": one, "then": self.schema(depth + 1), "else": self.schema(depth + 1)},
                {"dependentSchemas": {"a": one}},
                {"type": "object", "properties": {"a": {"const": 1}, "b": one}, "required": ["a"]},
            )
        )
