"""What a settings model expects at a path, and how to say it: the words of messages come from the fields."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, Secret, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from outbox.config.problems import KeyPath
from outbox.config.quantities import bytes_text, number_text, seconds_text
from outbox.model.units import parse_bytes, parse_seconds


class Kind(StrEnum):
    """What a value is, as the words that follow "must be"."""

    DURATION = "a duration"
    SIZE = "a size"
    INTEGER = "a whole number"
    DECIMAL = "a number"
    BOOLEAN = "true or false"
    CHOICE = "one of"
    TEXT = "text"
    SECRET = "text or file: and the path of a file"  # noqa: S105 - words about a secret, not one
    MAPPING = "a mapping of keys to values"
    LIST = "a list"
    UNKNOWN = "another value"


_CREDENTIAL_NAME = re.compile(r"key|token|secret|cookie|auth|passw|signature|credential", re.IGNORECASE)
_NUMBERS = frozenset({Kind.DURATION, Kind.SIZE, Kind.INTEGER, Kind.DECIMAL})
# A unit is what people forget.
_USUAL_EXAMPLES = {Kind.DURATION: "30s", Kind.SIZE: "256KiB"}
_QUANTITIES: Mapping[object, Kind] = {parse_seconds: Kind.DURATION, parse_bytes: Kind.SIZE}
# The first that fits: a bool is an int, and text is a sequence.
_KINDS: tuple[tuple[tuple[type, ...], Kind], ...] = (
    ((SecretStr, SecretBytes, Secret), Kind.SECRET),
    ((BaseModel, Mapping), Kind.MAPPING),
    ((Enum,), Kind.UNKNOWN),
    ((bool,), Kind.BOOLEAN),
    ((int,), Kind.INTEGER),
    ((float,), Kind.DECIMAL),
    ((str,), Kind.TEXT),
    ((Sequence, AbstractSet), Kind.LIST),
)


@dataclass(frozen=True, slots=True)
class Expected:
    """One thing that may stand at a path; a path into a union has several.

    ``annotation`` is a type as the typing module has it, ``constraints`` what pydantic found beside it.
    """

    annotation: Any
    constraints: tuple[object, ...] = ()
    default: object = None
    examples: tuple[object, ...] = ()

    @property
    def kind(self) -> Kind:
        """Say what kind of value this is."""
        for constraint in self.constraints:
            parse = constraint.func if isinstance(constraint, BeforeValidator) else None
            if parse in _QUANTITIES:
                return _QUANTITIES[parse]
        if get_origin(self.annotation) is Literal:
            return Kind.CHOICE
        plain = get_origin(self.annotation) or self.annotation
        if not isinstance(plain, type):
            return Kind.UNKNOWN
        return next((kind for types_, kind in _KINDS if issubclass(plain, types_)), Kind.UNKNOWN)

    @property
    def choices(self) -> tuple[str, ...]:
        """Return the words of a literal."""
        return tuple(str(one) for one in get_args(self.annotation)) if self.kind is Kind.CHOICE else ()

    def allowed(self) -> str:
        """Return what is allowed: ``a whole number between 0 and 65535``."""
        if self.kind is Kind.CHOICE:
            return f"{self.kind} {', '.join(self.choices)}"
        return f"{self.kind}{self._range()}"

    def example(self) -> str | None:
        """Return a value that would do, as it is written in the file."""
        if self.examples:
            return str(self.examples[0])
        if self.kind in _NUMBERS and isinstance(self.default, int | float):
            return self._written(self.default)
        return _USUAL_EXAMPLES.get(self.kind)

    def _range(self) -> str:
        low = self._limit("ge")
        high = self._limit("le")
        if low is not None and high is not None:
            return f" between {low} and {high}"
        words = {"ge": "at least", "gt": "greater than", "le": "at most", "lt": "less than"}
        limits = [f"{word} {limit}" for name, word in words.items() if (limit := self._limit(name)) is not None]
        if len(limits) == 1 and limits[0].startswith("at "):
            return f" of {limits[0]}"
        return f" {' and '.join(limits)}" if limits else ""

    def _limit(self, name: str) -> str | None:
        for constraint in self.constraints:
            limit = getattr(constraint, name, None)
            if isinstance(limit, int | float):
                return self._written(limit)
        return None

    def _written(self, number: float) -> str:
        if self.kind is Kind.DURATION:
            return seconds_text(number)
        return bytes_text(int(number)) if self.kind is Kind.SIZE else number_text(number)


def expected_at(model: type[BaseModel], path: KeyPath) -> list[Expected]:
    """Return what may stand at a path below a model; nothing if the model does not know the path."""
    found = [Expected(model)]
    for key in path:
        found = expected_in(found, key)
    return found


def expected_in(parents: list[Expected], key: str | int) -> list[Expected]:
    """Return what may stand under one key of what may stand here."""
    return [child for parent in parents for child in _children(parent.annotation, key)]


def keys_of(expected: list[Expected]) -> list[str]:
    """Return the names of the fields of every model in here."""
    return [
        field.alias or name
        for one in expected
        if isinstance(one.annotation, type) and issubclass(one.annotation, BaseModel)
        for name, field in one.annotation.model_fields.items()
    ]


def is_secret(expected: list[Expected]) -> bool:
    """Say whether a value at this place must never be shown."""
    return any(one.kind is Kind.SECRET for one in expected)


def is_credential_name(key: str) -> bool:
    """Say whether a key that people choose, such as the name of a header, names a credential.

    The author of a model marks its secrets by their type; nobody can do that for a free key.
    """
    return _CREDENTIAL_NAME.search(key) is not None


def is_number(expected: list[Expected]) -> bool:
    """Say whether only a number can stand here."""
    return bool(expected) and all(one.kind in _NUMBERS for one in expected)


def _children(annotation: object, key: str | int) -> Iterator[Expected]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            if key in {field.alias or name, name}:
                yield from _unfold(field.annotation, _of_field(field))
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if not isinstance(origin, type) or not arguments:
        return
    if issubclass(origin, Mapping):
        yield from _unfold(arguments[-1], Expected(arguments[-1]))
    elif issubclass(origin, Sequence | AbstractSet) and isinstance(key, int):
        yield from _unfold(arguments[0], Expected(arguments[0]))


def _of_field(field: FieldInfo) -> Expected:
    default = field.get_default(call_default_factory=False)
    return Expected(field.annotation, tuple(field.metadata), default, tuple(field.examples or ()))


def _unfold(annotation: object, around: Expected) -> Iterator[Expected]:
    """Yield the members of unions, each with the constraints that were written around it."""
    if get_origin(annotation) is Annotated:
        inner, *constraints = get_args(annotation)
        yield from _unfold(inner, _with(around, constraints))
    elif get_origin(annotation) in {Union, types.UnionType}:
        for member in get_args(annotation):
            yield from _unfold(member, around)
    elif annotation is not type(None):
        yield Expected(annotation, around.constraints, around.default, around.examples)


def _with(around: Expected, constraints: Sequence[object]) -> Expected:
    flat: list[object] = []
    examples = around.examples
    for constraint in constraints:
        if isinstance(constraint, FieldInfo):
            flat += constraint.metadata
            examples = examples or tuple(constraint.examples or ())
        else:
            flat.append(constraint)
    return Expected(around.annotation, (*around.constraints, *flat), around.default, examples)
