"""Transforms of numbers: exact, or rounded as the rule says. No float is ever made."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction

from outbox.config.transforms import DecimalPlaces, Number
from outbox.flow.refused import Refused, expected
from outbox.model.exact_numbers import EXACT, MAX_DIGITS, fit, is_calculable, number_of, plain_text

Transform = Callable[[object], object]

# Room for what is behind a quotient of the largest numbers.
_WIDE = decimal.Context(prec=4 * MAX_DIGITS)
_LOST = "would lose digits; the rule needs rounding"


def number_in(value: object) -> int | Decimal:
    """Return a number of a bounded number of digits, also of a text that writes one.

    Raises:
        Refused: it is none.
    """
    match value:
        case bool():
            raise expected("a number", value)
        case int() | Decimal():
            if not is_calculable(value):
                raise Refused(f"is a number of more than {MAX_DIGITS} digits")
            return value
        case str():
            number = number_of(value)
            if number is None:
                raise Refused("is a string that is no number")
            return number
        case _:
            raise expected("a number", value)


def read_number(settings: Number) -> Transform:
    """Read texts as people of some country write numbers; numbers pass."""
    signs = set("0123456789" + settings.decimal + (settings.thousands or ""))

    def read(value: object) -> object:
        if not isinstance(value, str):
            return number_in(value)
        text = value.strip()
        sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text.removeprefix("+"))
        if settings.decimal == "." and settings.thousands is None:
            if digits.startswith(("+", "-")):
                raise Refused("is a string that is no number")
            return number_in(sign + digits)
        whole, point, fraction = digits.partition(settings.decimal)
        if set(digits) - signs or not _is_grouped(whole, settings.thousands):
            raise Refused("is a string that is no number written like this")
        whole = whole.replace(settings.thousands or " ", "")
        # Leading zeros are no JSON; people write them.
        return number_in(f"{sign}{whole.lstrip('0') or '0'}{'.' if point else ''}{fraction}")

    return read


def _is_grouped(whole: str, thousands: str | None) -> bool:
    """Say whether groups have three digits each: 1.50 with a thousands point is more likely one and a half."""
    if thousands is None or thousands not in whole:
        return whole.isdecimal()
    first, *others = whole.split(thousands)
    return 1 <= len(first) <= 3 and all(len(group) == 3 for group in others) and "".join([first, *others]).isdecimal()  # noqa: PLR2004


def as_string(value: object) -> object:
    """Return a number or a boolean as text; texts pass."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | Decimal():
            return plain_text(value)
        case _:
            raise expected("a number, a boolean or a string", value)


def as_integer(value: object) -> object:
    """Return a number without a fraction."""
    number = number_in(value)
    if isinstance(number, int):
        return number
    whole = int(number)
    if whole != number:
        raise Refused("is a number with a fraction, expected a whole number")
    return fit(whole)


def rounded(settings: DecimalPlaces) -> Transform:
    """Give a number fixed places."""
    quantize = _quantized(settings.places, settings.rounding)

    def rounded_number(value: object) -> object:
        if value.__class__ is Decimal:
            return quantize(value)
        return quantize(Decimal(number_in(value)))

    return rounded_number


def times(factor: Decimal) -> Transform:
    """Multiply, exactly."""

    def multiplied(value: object) -> object:
        with calculating():
            return fit(EXACT.multiply(Decimal(number_in(value)), factor))

    return multiplied


def scaled(factor: Fraction, places: int | None, rounding: str | None) -> Transform:
    """Multiply by a fraction; without places the result must be exact."""
    above, below = Decimal(factor.numerator), Decimal(factor.denominator)

    def multiplied(value: object) -> object:
        number = Decimal(number_in(value))
        with calculating():
            product = EXACT.multiply(number, above)
            if places is None:
                return fit(EXACT.divide(product, below))
        return _quotient(product, below, places, rounding)

    return multiplied


def sum_of(values: list[object]) -> object:
    """Add up, exactly."""
    total = Decimal(0)
    for place, value in enumerate(values):
        with calculating():
            try:
                total = EXACT.add(total, Decimal(number_in(value)))
            except Refused as refused:
                raise Refused(f"has an entry [{place}] that {refused.reason}") from None
    return fit(total)


def _quotient(above: Decimal, below: Decimal, places: int, rounding: str | None) -> Decimal:
    """Round once, from the exact quotient: rounding what is rounded already can go the wrong way."""
    sign = -1 if (above < 0) != (below < 0) else 1
    shifted = Fraction(abs(above)) / Fraction(abs(below)) * 10**places
    whole, rest = divmod(shifted.numerator, shifted.denominator)
    # Two digits say all that rounding asks of what is behind: less than, exactly or more than half, or nothing.
    twice = 2 * rest
    behind = 0 if rest == 0 else 25 if twice < shifted.denominator else 50 if twice == shifted.denominator else 75
    digits = Decimal(sign * (whole * 100 + behind))
    return _quantized(places, rounding)(digits.scaleb(-places - 2, _WIDE))


def _quantized(places: int, rounding: str | None) -> Callable[[Decimal], Decimal]:
    unit = Decimal(1).scaleb(-places)
    context = EXACT.copy()
    if rounding is not None:
        context.rounding = getattr(decimal, f"ROUND_{rounding.upper()}")
        context.traps[decimal.Inexact] = False

    def quantized(number: Decimal) -> Decimal:
        try:
            return number.quantize(unit, None, context)
        except decimal.DecimalException:
            # Why it cannot be is asked only now: looking at every number first would cost more than rounding it.
            with calculating():
                return Decimal(number_in(number)).quantize(unit, context=context)

    return quantized


@contextmanager
def calculating() -> Iterator[None]:
    """Turn what arithmetic cannot do exactly into refusals."""
    try:
        yield
    except decimal.Inexact:
        raise Refused(_LOST) from None
    except decimal.DecimalException:
        raise Refused(f"needs more than {MAX_DIGITS} digits") from None
