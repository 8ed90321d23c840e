"""A schema as the comparison of two sees it: references followed, types and values counted. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from outbox.flow.contract_keywords import ANNOTATIONS, EXTENSION_PREFIX, ONE_SCHEMA, SCHEMA_LISTS, SCHEMA_MAPS
from outbox.flow.contract_refs import Schemas, resolve, target_of

ALL_TYPES = frozenset({"null", "boolean", "string", "number", "integer", "array", "object"})
_NUMBERS = frozenset({"number", "integer"})
_UNORDERED = frozenset({"required", "enum", "type"})
# Longer chains of references to references are circles.
_MAX_HOPS = 32


@dataclass(frozen=True, slots=True)
class View:
    """One schema of one revision. ``file`` is where its relative references begin."""

    schemas: Schemas
    file: str
    schema: Mapping[str, object] | bool

    def has(self, keyword: str) -> bool:
        """Say whether the schema has a keyword."""
        return not isinstance(self.schema, bool) and keyword in self.schema

    def get(self, keyword: str) -> object:
        """Return what a keyword says, None: it is not there."""
        return None if isinstance(self.schema, bool) else self.schema.get(keyword)

    def below(self, keyword: str) -> View | None:
        """Return the one schema under a keyword."""
        return self._at(self.get(keyword)) if self.has(keyword) else None

    def each(self, keyword: str) -> Sequence[View]:
        """Return the schemas of a list."""
        members = self.get(keyword)
        return [self._at(member) for member in members] if isinstance(members, list) else []

    def named(self, keyword: str) -> Mapping[str, View]:
        """Return the schemas of a mapping."""
        members = self.get(keyword)
        return {name: self._at(member) for name, member in members.items()} if isinstance(members, dict) else {}

    def names(self, keyword: str) -> Sequence[str]:
        """Return a list of texts."""
        members = self.get(keyword)
        return members if isinstance(members, list) else []

    def needed(self) -> Iterator[str]:
        """Yield the properties that may have to be there, declared or not."""
        yield from self.names("required")
        dependent = self.get("dependentRequired")
        for names in dependent.values() if isinstance(dependent, dict) else ():
            yield from names

    def constraints(self) -> frozenset[str]:
        """Return the keywords that decide what is valid."""
        if isinstance(self.schema, bool):
            return frozenset() if self.schema else frozenset({"false"})
        aside = ANNOTATIONS | {"$defs", "$anchor", "$dynamicAnchor"}
        return frozenset(word for word in self.schema if word not in aside and not word.startswith(EXTENSION_PREFIX))

    def takes_all(self) -> bool:
        """Say whether surely every value is valid."""
        return not self.constraints()

    def takes_nothing(self) -> bool:
        """Say whether the schema is the word false."""
        return self.schema is False

    def followed(self) -> View:
        """Return what a schema that is a reference and nothing else refers to."""
        here = self
        for _ in range(_MAX_HOPS):
            if here.constraints() != {"$ref"}:
                return here
            here = here.referred()
        return here

    def referred(self) -> View:
        """Return what the reference in this schema means."""
        target = target_of(self.file, str(self.get("$ref")))
        found = resolve(self.schemas, target)
        return View(self.schemas, target.file, found if isinstance(found, dict | bool) else True)

    def without(self, *keywords: str) -> View:
        """Return the schema without some keywords."""
        if isinstance(self.schema, bool):
            return self
        return View(self.schemas, self.file, {word: it for word, it in self.schema.items() if word not in keywords})

    def only(self, *keywords: str) -> View:
        """Return the schema with some keywords and no others."""
        return View(self.schemas, self.file, {word: self.get(word) for word in keywords if self.has(word)})

    def as_true(self) -> View:
        """Return a schema that takes everything in the place of this one."""
        return View(self.schemas, self.file, True)

    def rest(self) -> View | None:
        """Return what is demanded of properties that are not declared, None: nothing."""
        rest = self.below("additionalProperties")
        return None if rest is None or rest.followed().takes_all() else rest

    def entry(self, place: int) -> View:
        """Return what is demanded of an entry of a list."""
        first = self.each("prefixItems")
        return first[place] if place < len(first) else self.below("items") or self.as_true()

    def split(self) -> Sequence[View]:
        """Return schemas that together allow the same: one for each value or type, where these are listed."""
        values, types = self.values(), self.get("type")
        if isinstance(self.schema, dict) and values is not None:
            return [View(self.schemas, self.file, {**self.schema, "const": value}) for value in values]
        if isinstance(self.schema, dict) and isinstance(types, list):
            return [View(self.schemas, self.file, {**self.schema, "type": one}) for one in types]
        return [self]

    def _at(self, member: object) -> View:
        return View(self.schemas, self.file, member if isinstance(member, dict | bool) else True)

    def types(self) -> frozenset[str]:
        """Return the types that a valid value may have; numbers are both "number" and "integer"."""
        if self.takes_nothing():
            return frozenset()
        types, values = self._declared_types(), self.values()
        return types if values is None else types & frozenset(kind for value in values for kind in types_of(value))

    def _declared_types(self) -> frozenset[str]:
        said = self.get("type")
        types = ALL_TYPES if said is None else frozenset(said if isinstance(said, list) else [str(said)])
        return types | _NUMBERS if "number" in types else types

    def values(self) -> Sequence[object] | None:
        """Return the values that are valid at most, None: there is no list of them."""
        types = self._declared_types()
        members = [self.get("const")] if self.has("const") else self.get("enum")
        if isinstance(members, list):
            return [value for value in members if types_of(value) & types]
        if types == {"null"}:
            return [None]
        return [True, False] if types == {"boolean"} else None


def types_of(value: object) -> frozenset[str]:
    """Return the types of a JSON value; an integer has two."""
    match value:
        case None:
            return frozenset({"null"})
        case bool():
            return frozenset({"boolean"})
        case int():
            return _NUMBERS
        case float() | Decimal():
            return _NUMBERS if value == int(value) else frozenset({"number"})
        case str():
            return frozenset({"string"})
        case list():
            return frozenset({"array"})
        case _:
            return frozenset({"object"})


def is_equal(one: object, other: object) -> bool:
    """Compare JSON values: true is not 1, 1.0 is."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_equal(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_equal, one, other))
    return one == other


def is_same(one: View, other: View) -> bool:
    """Say whether two schemas surely say the same, with everything that they refer to."""
    seen: set[tuple[int, int]] = set()
    pending = [(one, other)]
    while pending:
        left, right = (view.followed() for view in pending.pop())
        pair = (id(left.schema), id(right.schema))
        if pair in seen:
            continue
        seen.add(pair)
        if left.constraints() != right.constraints() or left.has("$dynamicRef"):
            return False
        for word in left.constraints():
            below = _below(left, word), _below(right, word)
            if below[0] is None or below[1] is None:
                if not _says_equal(word, left.get(word), right.get(word)):
                    return False
            elif below[0].keys() != below[1].keys():
                return False
            else:
                pending += [(below[0][name], below[1][name]) for name in below[0]]
    return True


def _says_equal(word: str, one: object, other: object) -> bool:
    if word in _UNORDERED and isinstance(one, list) and isinstance(other, list):
        return is_among(one, other) and is_among(other, one)
    return is_equal(one, other)


def is_among(values: Sequence[object], others: Sequence[object]) -> bool:
    """Say whether each of these values is one of the others."""
    return all(any(is_equal(value, other) for other in others) for value in values)


def _below(view: View, word: str) -> Mapping[object, View] | None:
    """Return the schemas under a keyword, None: it has none."""
    value = view.get(word)
    if word == "$ref":
        return {"": view.referred()}
    found = dict(_members(view, word, value))
    return found or None


def _members(view: View, word: str, value: object) -> Iterator[tuple[object, View]]:
    if word in ONE_SCHEMA and (one := view.below(word)) is not None:
        yield "", one
    elif word in SCHEMA_LISTS:
        yield from enumerate(view.each(word))
    elif word in SCHEMA_MAPS and isinstance(value, dict):
        yield from view.named(word).items()
