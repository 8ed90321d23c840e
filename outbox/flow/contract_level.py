"""Where the comparison of two schemas is, and what is known of the names that an object there may have. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from outbox.flow.contract_compared import Compared, Pair
from outbox.flow.schema_view import View

# Beside these nobody knows which names an object may have.
_OPENING = (
    *("anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "$dynamicRef"),
    *("unevaluatedProperties", "unevaluatedItems", "patternProperties", "contains", "const", "enum"),
)
# What is true of a value by itself, whatever stands beside it.
_MERGEABLE = (
    *("type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "format", "minItems", "maxItems", "uniqueItems", "items", "prefixItems"),
    *("minProperties", "maxProperties", "additionalProperties", "patternProperties"),
)


@dataclass(frozen=True, slots=True)
class Here:
    """Where the comparison is. ``is_open``: other schemas describe this value, too, so it may have other names.

    ``pairs``: what is compared further up. ``path`` begins at the last of them.
    """

    path: str = ""
    is_open: bool = False
    pairs: frozenset[Pair] = frozenset()
    tells_removed: bool = False
    compared: Compared = field(default_factory=Compared)

    def at(self, part: object) -> Here:
        """Return the place one step down."""
        return replace(self, path=f"{self.path}/{str(part).replace('~', '~0').replace('/', '~1')}")

    def opened(self) -> Here:
        """Return the same place, of which this schema does not say everything."""
        return replace(self, is_open=True)

    def within(self, pair: Pair) -> Here:
        """Return the same place, below the comparison of these two, and paths that begin there."""
        return replace(self, path="", pairs=self.pairs | {pair})


@dataclass(frozen=True, slots=True)
class Level:
    """What is known of an object: ``names`` are all that it may have, None: nobody knows.

    ``lone`` are the names of which one schema alone says everything.
    """

    here: Here
    names: frozenset[str] | None
    lone: frozenset[str]
    has_lone_entries: bool

    @classmethod
    def of(cls, ours: Sequence[View], theirs: Sequence[View], here: Here) -> Level:
        """Look at all the schemas that must be kept at once, of both sides."""
        everything = (*ours, *theirs)
        if here.is_open or any(part.has(word) for part in everything for word in _OPENING):
            return cls(here, None, frozenset(), has_lone_entries=False)
        declared = [Counter(name for part in side for name in part.named("properties")) for side in (ours, theirs)]
        is_single = len(ours) <= 1 and len(theirs) <= 1
        has_rest = any(part.rest() is not None for part in everything)
        lone = frozenset(
            name
            for name in declared[0] | declared[1]
            if all(side[name] <= 1 for side in declared) and (is_single or not has_rest)
        )
        names = frozenset((*declared[0], *(name for part in ours for name in part.needed())))
        # What one of several allows under any name, the others know nothing of.
        is_unbounded = len(ours) > 1 and any((rest := part.rest()) and not rest.takes_nothing() for part in ours)
        return cls(here, None if is_unbounded else names, lone, has_lone_entries=is_single)

    def property(self, name: str) -> Here:
        """Return the place of a property's value."""
        inside = self.here.at(name)
        return inside if name in self.lone else inside.opened()

    def entry(self, place: object) -> Here:
        """Return the place of an entry of a list."""
        inside = self.here.at(place)
        return inside if self.has_lone_entries else inside.opened()


def merged(ours: Sequence[View]) -> list[View]:
    """Return one schema with what several say that must all be kept, as far as that can be said by one; or nothing.

    Of a rule that two of them have, one is left out: the schema may allow more than all of them together, never less.
    """
    if len(ours) <= 1 or any(isinstance(part.schema, bool) or part.file != ours[0].file for part in ours):
        return []
    schema: dict[str, object] = {}
    for part in ours:
        for word in _MERGEABLE:
            if part.has(word):
                schema.setdefault(word, part.get(word))
    schema["properties"] = {name: one.schema for part in ours for name, one in part.named("properties").items()}
    schema["required"] = sorted({name for part in ours for name in part.names("required")})
    return [View(ours[0].schemas, ours[0].file, schema)]


def parts(view: View) -> list[View]:
    """Return the schemas that must all be kept: the schema's own rules, what it refers to, each branch of allOf."""
    own = view.without("$ref", "allOf")
    found = [] if own.takes_all() else [own]
    if view.has("$ref"):
        found += parts(view.referred().followed())
    for branch in view.each("allOf"):
        found += parts(branch.followed())
    return found
