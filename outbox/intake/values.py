"""What of a request becomes type, key and id of an event, by the paths and expressions that mappings have. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias, assert_never

from outbox.intake.problems import Problem, RefusedRequest
from outbox.intake.received import Headers
from outbox.model.expressions import Expression, Unanswerable
from outbox.model.paths import Path, parse_expression, parse_source, steps_text

_SEPARATOR = "/"
# Longer numbers are written with their exponent.
_MOST_DIGITS = 40


@dataclass(frozen=True, slots=True)
class FromHeaders:
    """The values of these headers; nothing when one is missing."""

    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class FromPath:
    """What stands there in the event: a text, a number, true or false, or a list of these.

    Names with dots between them, which most are, are followed by ourselves: that takes a tenth of the time.
    """

    text: str
    _names: tuple[str, ...] = ()
    _expression: Expression | None = None

    @classmethod
    def of(cls, text: str) -> FromPath:
        """Read a path, or another JMESPath expression.

        Raises:
            BadExpression: it is none; says where and what to write.
        """
        parsed = parse_source(text)
        if isinstance(parsed, Path):
            names = tuple(step for step in parsed.steps if isinstance(step, str))
            if len(names) == len(parsed.steps):
                return cls(text, names)
            parsed = parse_expression(steps_text(parsed.steps))
        return cls(text, _expression=parsed)

    def find(self, event: object) -> object:
        """Return what stands there, or None where there is nothing, or nothing that can be asked so."""
        if self._expression is not None:
            try:
                return self._expression.evaluate(event)
            except Unanswerable:
                return None
        for name in self._names:
            event = event.get(name) if isinstance(event, dict) else None
        return event


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same."""

    text: str


Origin: TypeAlias = FromHeaders | FromPath | Constant


def text_of(origin: Origin, headers: Headers, event: object, problem: Problem) -> str | None:
    """Return what an origin says for an event, as text; None where it says nothing.

    Raises:
        RefusedRequest: with ``problem``: something stands there that is no text; or a header stands twice.
    """
    match origin:
        case Constant(text):
            return text
        case FromHeaders(names):
            values = [headers.get(name) for name in names]
            return _SEPARATOR.join(value for value in values if value) if all(values) else None
        case FromPath(path):
            found = origin.find(event)
            if not isinstance(found, list):
                return _scalar(path, found, problem)
            parts = [_scalar(path, part, problem) for part in found]
            # One part that is missing makes different events look alike.
            return _SEPARATOR.join(map(str, parts)) if parts and None not in parts else None
        case _:
            assert_never(origin)


def _scalar(path: str, value: object, problem: Problem) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case str() | int():
            return str(value)
        case Decimal():
            # As it is written in JSON, not with an exponent that only Python would write.
            return format(value, "f") if abs(value.adjusted()) < _MOST_DIGITS else str(value)
        case _:
            raise RefusedRequest(problem, f"at {path} there is neither text nor a number")


@dataclass(frozen=True, slots=True)
class TypeRule:
    """The event's type: what the origin says, or what the table makes of that. An empty table changes nothing."""

    origin: Origin
    types: Mapping[str, str] = field(default_factory=dict)

    def type_of(self, headers: Headers, event: object) -> str:
        """Return the type of an event.

        Raises:
            RefusedRequest: there is none, or it is not in the table.
        """
        told = text_of(self.origin, headers, event, Problem.TYPE_UNUSABLE)
        if not told:
            raise RefusedRequest(Problem.TYPE_UNUSABLE, "there is none")
        if not self.types:
            if is_usable(told, 255) and not any(letter in "*# " for letter in told):
                return told
            raise RefusedRequest(Problem.TYPE_UNUSABLE, "it is too long, or has spaces, control characters, * or #")
        known = self.types.get(told)
        if known is None:
            # What stands there is the sender's; to be found by the request that it was refused for.
            raise RefusedRequest(Problem.TYPE_UNKNOWN)
        return known


def key_of(origin: Origin | None, headers: Headers, event: object) -> str | None:
    """Return an event's key, or None where events have no order.

    Raises:
        RefusedRequest: a key is to be there and is not, or cannot be one.
    """
    if origin is None:
        return None
    key = text_of(origin, headers, event, Problem.KEY_UNUSABLE)
    if not key:
        raise RefusedRequest(Problem.KEY_UNUSABLE, "there is none")
    if not is_usable(key, 512):
        raise RefusedRequest(Problem.KEY_UNUSABLE, "it has more than 512 bytes, or control characters")
    return key


def is_usable(text: str, max_bytes: int) -> bool:
    """Say whether the outbox takes a text as a type or a key."""
    return text.isprintable() and 0 < len(text.encode("utf-8", "surrogatepass")) <= max_bytes
