"""Rules about one value by itself: does what one schema allows keep the rule of another? Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction

from outbox.flow.schema_view import View, is_equal, types_of

Number = int | float | Decimal

NUMBERS = frozenset({"number", "integer"})
# Which rule is about which types; the rule of a type that cannot occur is none.
ABOUT: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum", "multipleOf"), NUMBERS),
    **dict.fromkeys(("maxLength", "minLength", "pattern", "format"), frozenset({"string"})),
    **dict.fromkeys(("maxItems", "minItems", "uniqueItems"), frozenset({"array"})),
    **dict.fromkeys(("maxProperties", "minProperties"), frozenset({"object"})),
}


def keeps(view: View, rule: str, demand: object) -> bool:
    """Say whether whatever the schema allows surely keeps a rule of `ABOUT`."""
    if not view.types() & ABOUT[rule]:
        return True
    values = view.values()
    if values is not None and rule in _OF_A_VALUE:
        return all(not types_of(one) & ABOUT[rule] or _OF_A_VALUE[rule](one, demand) for one in values)
    if rule in _IMPLIED:
        return isinstance(demand, Number) and _IMPLIED[rule](view, demand)
    # A pattern, a format, uniqueItems: nothing but the same rule is known to imply it.
    return demand is False or (view.has(rule) and is_equal(view.get(rule), demand))


def _bound(view: View, rule: str) -> Number | None:
    value = view.get(rule)
    return value if isinstance(value, Number) and not isinstance(value, bool) else None


def _at_most(view: View, demand: Number) -> bool:
    most, below = _bound(view, "maximum"), _bound(view, "exclusiveMaximum")
    return (most is not None and most <= demand) or (below is not None and below <= demand)


def _at_least(view: View, demand: Number) -> bool:
    least, above = _bound(view, "minimum"), _bound(view, "exclusiveMinimum")
    return (least is not None and least >= demand) or (above is not None and above >= demand)


def _below(view: View, demand: Number) -> bool:
    most, below = _bound(view, "maximum"), _bound(view, "exclusiveMaximum")
    return (most is not None and most < demand) or (below is not None and below <= demand)


def _above(view: View, demand: Number) -> bool:
    least, above = _bound(view, "minimum"), _bound(view, "exclusiveMinimum")
    return (least is not None and least > demand) or (above is not None and above >= demand)


def _multiple(view: View, demand: Number) -> bool:
    steps = [step for step in (_bound(view, "multipleOf"), 1 if "number" not in view.types() else None) if step]
    return any(_is_multiple(step, demand) for step in steps)


def _is_multiple(value: Number, of: Number) -> bool:
    # Fractions of the digits as they were written: floats would call 0.07 no multiple of 0.01.
    return (Fraction(str(value)) / Fraction(str(of))).denominator == 1


def _fewer(rule: str) -> Callable[[View, Number], bool]:
    return lambda view, demand: (most := _bound(view, rule)) is not None and most <= demand


def _more(rule: str) -> Callable[[View, Number], bool]:
    def is_enough(view: View, demand: Number) -> bool:
        least = _bound(view, rule)
        known = len(view.names("required")) if rule == "minProperties" else 0
        return demand <= known or (least is not None and least >= demand)

    return is_enough


_IMPLIED: Mapping[str, Callable[[View, Number], bool]] = {
    "maximum": _at_most,
    "minimum": _at_least,
    "exclusiveMaximum": _below,
    "exclusiveMinimum": _above,
    "multipleOf": _multiple,
    **{rule: _fewer(rule) for rule in ("maxLength", "maxItems", "maxProperties")},
    **{rule: _more(rule) for rule in ("minLength", "minItems", "minProperties")},
}
_OF_A_VALUE: Mapping[str, Callable[..., bool]] = {
    "maximum": lambda value, demand: value <= demand,
    "minimum": lambda value, demand: value >= demand,
    "exclusiveMaximum": lambda value, demand: value < demand,
    "exclusiveMinimum": lambda value, demand: value > demand,
    "multipleOf": _is_multiple,
    **dict.fromkeys(("maxLength", "maxItems", "maxProperties"), lambda value, demand: len(value) <= demand),
    **dict.fromkeys(("minLength", "minItems", "minProperties"), lambda value, demand: len(value) >= demand),
}
