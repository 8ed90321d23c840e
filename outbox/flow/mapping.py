"""A flow's field rules, compiled once: from the payload's JSON to the document that an adapter sends."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from outbox.flow.document import MAX_INTEGER, MIN_INTEGER, kind_of, parse_document
from outbox.model.errors import MappingError, Misconfigured

Path = tuple[str, ...]

# Deeper than any record a person configures, and far below what JSON writers take.
_MAX_DEFAULT_DEPTH = 32


@dataclass(frozen=True, slots=True)
class FieldRule:
    """Where one field of the target's document comes from.

    Paths are dotted; a number in a source path is a place in a list (``lines.0.sku``). Without
    ``source_field`` the default is a constant. ``has_default`` tells a default of null from none at all.
    """

    source_field: str | None
    target_field: str
    default: object = None
    has_default: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True)
class _Step:
    rule: FieldRule
    source: Path | None
    parents: Path
    leaf: str


@dataclass(frozen=True, slots=True)
class Mapping:
    """All rules of a flow. Without any, the payload's object goes out as it came in."""

    _steps: tuple[_Step, ...] = ()

    @classmethod
    def compile(cls, rules: Iterable[FieldRule]) -> Mapping:
        """Check the rules against each other and split their paths.

        Raises:
            Misconfigured: with every problem found, not only the first.
        """
        rules = tuple(rules)
        problems = [problem for rule in rules for problem in _problems(rule)]
        problems += _conflicts(rule.target_field for rule in rules)
        if problems:
            raise Misconfigured("mapping: " + "; ".join(problems), "correct these fields of the flow's mapping")
        return cls(tuple(_step(rule) for rule in rules))

    def apply(self, payload: bytes) -> dict[str, object]:
        """Return the target's document for a payload.

        Raises:
            MappingError: naming the source path, and never what was found there.
        """
        document = parse_document(payload)
        if not self._steps:
            return document
        mapped: dict[str, object] = {}
        for step in self._steps:
            found = _find(document, step)
            if found is _MISSING:
                if step.rule.required:
                    raise MappingError(str(step.rule.source_field), "is missing")
                if not step.rule.has_default:
                    continue
                # A copy: one delivery's document must never change another's.
                found = copy.deepcopy(step.rule.default)
            elif found is None and step.rule.required:
                raise MappingError(str(step.rule.source_field), "is null")
            _put(mapped, step, found)
        return mapped


_MISSING = object()


def _find(document: dict[str, object], step: _Step) -> object:
    """Return the value at the source path, or _MISSING.

    An absent or null parent makes a field missing; a parent of another kind is an error even for optional
    fields, because a changed payload must not quietly become a document without them.
    """
    if step.source is None:
        return _MISSING
    found: object = document
    for depth, name in enumerate(step.source):
        match found:
            case dict():
                found = found.get(name, _MISSING)
            case list() if _is_place(name):
                found = found[int(name)] if int(name) < len(found) else _MISSING
            case None:
                return _MISSING
            case _:
                expected = "a list or an object" if _is_place(name) else "an object"
                raise MappingError(
                    str(step.rule.source_field),
                    f"{'.'.join(step.source[:depth])!r} is {kind_of(found)}, expected {expected}",
                )
        if found is _MISSING:
            return _MISSING
    return found


def _put(mapped: dict[str, object], step: _Step, value: object) -> None:
    parent = mapped
    for name in step.parents:
        child = parent.setdefault(name, {})
        # The conflict check leaves only objects made here as parents.
        assert isinstance(child, dict)  # noqa: S101
        parent = child
    parent[step.leaf] = value


def _step(rule: FieldRule) -> _Step:
    *parents, leaf = rule.target_field.split(".")
    source = None if rule.source_field is None else tuple(rule.source_field.split("."))
    return _Step(rule, source, tuple(parents), leaf)


def _problems(rule: FieldRule) -> Iterable[str]:
    name = f"target_field {rule.target_field!r}"
    if "" in rule.target_field.split("."):
        yield f"{name} has an empty part"
    if any(_is_place(part) for part in rule.target_field.split(".")):
        yield f"{name} has a number as a part, and targets cannot be lists"
    if rule.source_field is not None and "" in rule.source_field.split("."):
        yield f"{name}: source_field {rule.source_field!r} has an empty part"
    if rule.source_field is None and not rule.has_default:
        yield f"{name} has neither a source_field nor a default"
    if rule.required and rule.has_default:
        yield f"{name} is required and has a default, which could never be used"
    elif rule.required and rule.source_field is None:
        yield f"{name} is required and has no source_field"
    if rule.has_default and not _is_json(rule.default):
        yield f"{name}: the default is not a JSON value (write dates in quotes)"


def _conflicts(target_fields: Iterable[str]) -> Iterable[str]:
    seen: set[str] = set()
    for target_field in target_fields:
        if target_field in seen:
            yield f"target_field {target_field!r} is set twice"
        seen.add(target_field)
    for target_field in sorted(seen):
        parts = target_field.split(".")
        for length in range(1, len(parts)):
            parent = ".".join(parts[:length])
            if parent in seen:
                yield f"target_field {parent!r} is a value and the parent of {target_field!r}"


def _is_place(name: str) -> bool:
    # Nobody addresses past a million; the bound keeps int() cheap for any text.
    return name.isascii() and name.isdecimal() and len(name) <= len("1000000")


def _is_json(value: object, depth: int = 0) -> bool:
    if depth > _MAX_DEFAULT_DEPTH:
        return False
    match value:
        case list():
            return all(_is_json(member, depth + 1) for member in value)
        case dict():
            return all(
                isinstance(name, str) and _is_unicode(name) and _is_json(member, depth + 1)
                for name, member in value.items()
            )
        case _:
            return _is_json_scalar(value)


def _is_json_scalar(value: object) -> bool:
    match value:
        case None | bool():
            return True
        case int():
            return MIN_INTEGER <= value <= MAX_INTEGER
        case str():
            return _is_unicode(value)
        case float():
            return math.isfinite(value)
        case Decimal():
            return value.is_finite()
        case _:
            return False


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
