"""The functions of JMESPath for exact numbers: nothing is rounded, and a wrong kind is an error that names it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, DecimalException
from typing import Any

from jmespath import functions

from outbox.model.exact_numbers import EXACT, fit, is_calculable, number_of, plain_text

Number = int | Decimal


class BadArgument(Exception):
    """A function was given something that it cannot work with; the text names kinds, never values."""


@dataclass(frozen=True, slots=True)
class _Function:
    call: Callable[..., object]
    least: int
    most: int


class Functions(functions.Functions):
    """What the library's interpreter asks for every call."""

    def call_function(self, function_name: str, resolved_args: Iterable[Any]) -> object:
        """Return what a function makes of its arguments.

        Raises:
            BadArgument: an argument is of the wrong kind.
        """
        try:
            return FUNCTIONS[function_name].call(*resolved_args)
        except BadArgument as error:
            raise BadArgument(f"{function_name}() {error}") from None
        except DecimalException:
            raise BadArgument(f"{function_name}() cannot be calculated exactly") from None


def ordered(compare: Callable[[Any, Any], object], one: object, other: object) -> object:
    """Return which of two numbers or texts comes first; null where one of them is missing or null.

    Raises:
        BadArgument: they are of other kinds, or of different ones.
    """
    kinds = {_kind(one), _kind(other)}
    if "null" in kinds:
        return None
    if kinds not in ({"number"}, {"string"}):
        raise BadArgument("compares values of different kinds" if len(kinds) > 1 else f"compares {kinds.pop()}s")
    return compare(one, other)


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | Decimal():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "expression"


def _number(value: object) -> Number:
    if _kind(value) != "number":
        raise BadArgument(f"takes a number, not {_kind(value)}")
    assert isinstance(value, int | Decimal)  # noqa: S101
    if not is_calculable(value):
        raise BadArgument("takes no number of so many digits")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise BadArgument(f"takes a string, not {_kind(value)}")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise BadArgument(f"takes an array, not {_kind(value)}")
    return value


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadArgument(f"takes an object, not {_kind(value)}")
    return value


def _sortable(values: Sequence[object]) -> None:
    kinds = {_kind(value) for value in values}
    if kinds - {"number"} and kinds - {"string"}:
        raise BadArgument("compares numbers with numbers or strings with strings only")


def _sum(values: object) -> Number:
    total: Number = 0
    for value in _list(values):
        number = _number(value)
        is_whole = isinstance(total, int) and isinstance(number, int)
        total = total + number if is_whole else EXACT.add(Decimal(total), Decimal(number))
    return fit(total)


def _whole(rounding: str) -> Callable[[object], Number]:
    def rounded(value: object) -> Number:
        number = _number(value)
        return number if isinstance(number, int) else fit(int(number.to_integral_value(rounding=rounding)))

    return rounded


def _contains(subject: object, search: object) -> bool:
    if isinstance(subject, str):
        return isinstance(search, str) and search in subject
    return any(_kind(entry) == _kind(search) and entry == search for entry in _list(subject))


def _length(value: object) -> int:
    if not isinstance(value, str | list | dict):
        raise BadArgument(f"takes a string, an array or an object, not {_kind(value)}")
    return len(value)


def _reverse(value: object) -> object:
    return value[::-1] if isinstance(value, str) else _list(value)[::-1]


def _extreme(choose: Callable[..., object]) -> Callable[[object], object]:
    def chosen(values: object) -> object:
        _sortable(_list(values))
        return choose(_list(values), default=None)

    return chosen


def _by(values: object, key: Any) -> list[tuple[Any, Any]]:  # noqa: ANN401 - the library's own, without a type
    if _kind(key) != "expression":
        raise BadArgument("takes an expression such as &name as its second argument")
    pairs = [(key.visit(key.expression, value), value) for value in _list(values)]
    _sortable([one for one, _ in pairs])
    return pairs


def _extreme_by(choose: Callable[..., Any]) -> Callable[[object, object], object]:
    def chosen(values: object, key: object) -> object:
        pairs = _by(values, key)
        return choose(pairs, key=lambda pair: pair[0])[1] if pairs else None

    return chosen


def _sort(values: object) -> object:
    _sortable(_list(values))
    return sorted(_list(values))


def _map(key: Any, values: object) -> object:  # noqa: ANN401 - the library's own, without a type
    if _kind(key) != "expression":
        raise BadArgument("takes an expression such as &name as its first argument")
    return [key.visit(key.expression, value) for value in _list(values)]


def _merge(*objects: object) -> object:
    merged: dict[str, object] = {}
    for one in objects:
        merged.update(_object(one))
    return merged


def _to_number(value: object) -> object:
    if isinstance(value, str):
        return number_of(value)
    return value if _kind(value) == "number" else None


def _to_string(value: object) -> object:
    match value:
        case str():
            return value
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | Decimal():
            return plain_text(value)
        case _:
            raise BadArgument(f"takes a scalar, not {_kind(value)}")


_ANY = sys.maxsize
FUNCTIONS: dict[str, _Function] = {
    "abs": _Function(lambda value: EXACT.abs(Decimal(n)) if isinstance(n := _number(value), Decimal) else abs(n), 1, 1),
    "ceil": _Function(_whole(ROUND_CEILING), 1, 1),
    "contains": _Function(_contains, 2, 2),
    "ends_with": _Function(lambda text, end: _text(text).endswith(_text(end)), 2, 2),
    "floor": _Function(_whole(ROUND_FLOOR), 1, 1),
    "join": _Function(lambda glue, parts: _text(glue).join([_text(part) for part in _list(parts)]), 2, 2),
    "keys": _Function(lambda value: list(_object(value)), 1, 1),
    "length": _Function(_length, 1, 1),
    "map": _Function(_map, 2, 2),
    "max": _Function(_extreme(max), 1, 1),
    "max_by": _Function(_extreme_by(max), 2, 2),
    "merge": _Function(_merge, 1, _ANY),
    "min": _Function(_extreme(min), 1, 1),
    "min_by": _Function(_extreme_by(min), 2, 2),
    "not_null": _Function(lambda *values: next((value for value in values if value is not None), None), 1, _ANY),
    "reverse": _Function(_reverse, 1, 1),
    "sort": _Function(_sort, 1, 1),
    "sort_by": _Function(lambda values, key: [v for _, v in sorted(_by(values, key), key=lambda pair: pair[0])], 2, 2),
    "starts_with": _Function(lambda text, start: _text(text).startswith(_text(start)), 2, 2),
    "sum": _Function(_sum, 1, 1),
    "to_array": _Function(lambda value: value if isinstance(value, list) else [value], 1, 1),
    "to_number": _Function(_to_number, 1, 1),
    "to_string": _Function(_to_string, 1, 1),
    "type": _Function(_kind, 1, 1),
    "values": _Function(lambda value: list(_object(value).values()), 1, 1),
}
