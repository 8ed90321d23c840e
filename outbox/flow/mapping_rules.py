"""The rules of a mapping as they are given, and what is wrong with them, alone and with each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from outbox.config.mapping import MappingField, Transform
from outbox.model.exact_numbers import MAX_INTEGER, MIN_INTEGER
from outbox.model.expressions import BadExpression
from outbox.model.mapping_conflicts import RuleShape, conflicts_of, repeated
from outbox.model.paths import parse_expression, parse_source, parse_target
from outbox.model.templates import parse_template

# Deeper than any record a person configures, and far below what JSON writers take.
_MAX_DEFAULT_DEPTH = 32
# Rules in rules: targets have lists in lists in records, and not much more.
_MAX_BLOCK_DEPTH = 10


@dataclass(frozen=True, slots=True)
class FieldRule:
    """Where one field of the target's document comes from.

    Paths are JMESPath's. Without a source the default is a constant. ``has_default`` tells a default of null from
    none at all. ``fields``: rules for the object, or each object of the list, that the value is; their paths
    begin there.
    """

    source_field: str | None
    target_field: str
    default: object = None
    has_default: bool = False
    required: bool = False
    template: str | None = None
    position: int | None = None
    when: str | None = None
    transforms: tuple[Transform, ...] = ()
    fields: tuple[FieldRule, ...] = field(default=())
    null_is_missing: bool = False


def rules_of(fields: Iterable[MappingField]) -> tuple[FieldRule, ...]:
    """Return what the settings of a mapping say."""
    return tuple(
        FieldRule(
            one.source_field,
            one.target_field,
            one.default,
            one.has_default,
            one.required,
            one.template,
            one.position,
            one.when,
            one.transform,
            rules_of(one.fields or ()),
            one.null_is == "missing",
        )
        for one in fields
    )


def problems_of(rules: Sequence[FieldRule], depth: int = 0) -> Iterator[str]:
    """Yield everything that is wrong with rules of one level, and of the blocks in it."""
    if depth > _MAX_BLOCK_DEPTH:
        yield f"blocks are nested deeper than {_MAX_BLOCK_DEPTH} levels"
        return
    for rule in rules:
        yield from _problems(rule)
        yield from problems_of(rule.fields, depth + 1)
    shapes = [
        RuleShape(
            rule.source_field,
            rule.target_field,
            rule.when,
            is_computed=rule.template is not None or rule.position is not None or bool(rule.fields),
        )
        for rule in rules
    ]
    yield from (problem for _, problem in (*repeated(shapes), *conflicts_of(shapes)))


def _problems(rule: FieldRule) -> Iterator[str]:
    name = f"target_field {rule.target_field!r}"
    yield from _read(parse_target, rule.target_field, name)
    if rule.source_field is not None:
        yield from _read(parse_source, rule.source_field, f"{name}: source_field {rule.source_field!r}")
    if rule.template is not None:
        yield from _read(parse_template, rule.template, f"{name}: template")
    if rule.when is not None:
        yield from _read(parse_expression, rule.when, f"{name}: when")
    yield from _value_problems(rule, name)


def _read(parse: Callable[[str], object], text: str, name: str) -> Iterator[str]:
    try:
        parse(text)
    except BadExpression as error:
        yield f"{name} {error}"


def _value_problems(rule: FieldRule, name: str) -> Iterator[str]:
    has_source = rule.source_field is not None or rule.template is not None or rule.position is not None
    if not has_source and not rule.has_default:
        yield f"{name} has neither a source_field nor a default"
    if rule.required and rule.has_default:
        yield f"{name} is required and has a default, which could never be used"
    elif rule.required and not has_source:
        yield f"{name} is required and has no source_field"
    if rule.has_default and not _is_json(rule.default):
        yield f"{name}: the default is not a JSON value (write dates in quotes)"


def exact_default(value: object) -> object:
    """Return a default as JSON writes it: a float becomes the decimal that it was written as."""
    match value:
        case float():
            return Decimal(repr(value))
        case list() | tuple():
            return [exact_default(member) for member in value]
        case dict():
            return {name: exact_default(member) for name, member in value.items()}
        case _:
            return value


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
