"""From the settings of a transform to what does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from outbox.config.mapping import Transform
from outbox.config.transforms import Date, DecimalPlaces, Divide, Number, Pad, Table, Unit, Xref
from outbox.flow import mapping_texts as texts
from outbox.flow.mapping_dates import dated
from outbox.flow.mapping_numbers import as_integer, as_string, read_number, rounded, scaled, sum_of, times
from outbox.flow.mapping_tables import looked_up
from outbox.flow.refused import expected
from outbox.model.mapping import MISSING
from outbox.model.measures import factor_between

_Call = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class Step:
    """One transform. Of a list it is done with each entry, unless ``takes_lists``.

    ``xref``: what is to be looked up outside; ``call`` then makes the key that it is looked up by.
    """

    name: str
    call: _Call
    takes_lists: bool = False
    xref: Xref | None = None

    def told(self) -> str:
        """Return what people are told of it: its name, and of an id what is done while it is not known."""
        return self.name if self.xref is None else " ".join([self.name, *self.xref.told()])


def step_of(transform: Transform) -> Step:
    """Return what does a transform."""
    name = transform.name
    settings = getattr(transform, name)
    if name in _LISTS:
        return Step(name, _of_list(_LISTS[name]), takes_lists=True)
    if name == "list":
        return Step(name, lambda value: value if isinstance(value, list) else [value], takes_lists=True)
    if name == "join":
        return Step(name, _of_list(_joined(settings)), takes_lists=True)
    if name in _WORDS:
        return Step(name, _WORDS[name])
    if name in _TEXTS:
        return Step(name, texts.of_text(_TEXTS[name](settings)))
    return _with_settings(name, settings)


def _with_settings(name: str, settings: object) -> Step:
    match settings:
        case Number():
            return Step(name, read_number(settings))
        case DecimalPlaces():
            return Step(name, rounded(settings))
        case Divide():
            return Step(name, scaled(1 / Fraction(settings.by), settings.places, settings.rounding))
        case Unit():
            factor = factor_between(settings.from_, settings.to)
            return Step(name, scaled(factor, settings.places, settings.rounding))
        case Date():
            return Step(name, dated(settings))
        case Table():
            return Step(name, looked_up(settings.rows(), settings.missing))
        case Xref():
            return Step(name, as_string, xref=settings)
        case Pad():
            return Step(name, texts.of_text(texts.padded(settings, on_the_left=name == "pad_left")))
        case Decimal() if name == "multiply":
            return Step(name, times(settings))
        case _:
            # A transform that settings know and nothing does: a test goes through all of them.
            raise AssertionError(name)


def _of_list(transform: Callable[[list[object]], object]) -> _Call:
    def transformed(value: object) -> object:
        if not isinstance(value, list):
            raise expected("a list", value)
        return transform(value)

    return transformed


def _joined(glue: str) -> Callable[[list[object]], object]:
    def join(values: list[object]) -> object:
        parts = [as_string(value) for value in values if value is not None]
        text = glue.join(str(part) for part in parts)
        return texts.bounded(text)

    return join


def _distinct(values: list[object]) -> object:
    seen: dict[tuple[type, object], object] = {}
    for value in values:
        if isinstance(value, list | dict):
            raise expected("a list of texts and numbers", values)
        # 1, 1.0 and true are the same key to Python.
        seen.setdefault((bool if isinstance(value, bool) else str if isinstance(value, str) else object, value), value)
    return list(seen.values())


_LISTS: dict[str, Callable[[list[object]], object]] = {
    "first": lambda values: values[0] if values else MISSING,
    "last": lambda values: values[-1] if values else MISSING,
    "distinct": _distinct,
    "sum": sum_of,
    "count": len,
}
_WORDS: dict[str, _Call] = {
    "uppercase": texts.of_text(str.upper),
    "lowercase": texts.of_text(str.lower),
    "trim": texts.of_text(str.strip),
    "collapse_spaces": texts.of_text(texts.collapsed),
    "ascii": texts.of_text(texts.as_ascii),
    "empty_is_missing": texts.of_text(lambda text: text or MISSING),
    "string": as_string,
    "integer": as_integer,
}
_TEXTS: dict[str, Callable[..., texts.TextTransform]] = {
    "truncate": texts.truncated,
    "replace": texts.replaced,
    "remove": texts.removed,
    "prefix": lambda start: lambda text: start + text,
    "suffix": lambda end: lambda text: text + end,
    "normalize": texts.normalized,
    "split": texts.split,
}
