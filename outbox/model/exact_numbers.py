"""Arithmetic that gives the exact result or none at all: money is never rounded unless somebody said how."""

from __future__ import annotations

import decimal
import re
from decimal import Decimal

# The integers that any JSON writer can put out again; larger ones travel as Decimal, exact all the same.
MIN_INTEGER = -(2**63)
MAX_INTEGER = 2**64 - 1
# More digits than any amount, quantity or id has, few enough that a number from outside can cost nothing.
MAX_DIGITS = 100

EXACT = decimal.Context(
    prec=MAX_DIGITS,
    rounding=decimal.ROUND_HALF_EVEN,
    Emin=-MAX_DIGITS,
    Emax=MAX_DIGITS,
    traps=[decimal.Inexact, decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow, decimal.Underflow],
)
# The same where a rule says how to round.
ROUNDING = EXACT.copy()
ROUNDING.traps[decimal.Inexact] = False

_LIMIT: int = 10**MAX_DIGITS
# RFC 8259 § 6, the numbers of JSON.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)


def fit(number: int | Decimal) -> int | Decimal:
    """Return whole numbers as integers where every writer of JSON takes them, and as decimals beyond."""
    if isinstance(number, int):
        return number if MIN_INTEGER <= number <= MAX_INTEGER else Decimal(number)
    is_whole = number.as_tuple().exponent == 0
    return int(number) if is_whole and MIN_INTEGER <= number <= MAX_INTEGER else number


def number_of(text: str) -> int | Decimal | None:
    """Return the number that a text writes as JSON does, with every digit; None if it is none, or too long."""
    if len(text) > MAX_DIGITS or _NUMBER.fullmatch(text) is None:
        return None
    if text.lstrip("-").isdecimal():
        return fit(int(text))
    number = Decimal(text)
    return number if is_calculable(number) else None


def is_calculable(number: int | Decimal) -> bool:
    """Say whether a number has so few digits that calculating with it, or writing it out, costs nothing."""
    if isinstance(number, int):
        return -_LIMIT < number < _LIMIT
    parts = number.as_tuple()
    return isinstance(parts.exponent, int) and len(parts.digits) <= MAX_DIGITS and abs(parts.exponent) <= MAX_DIGITS


def plain_text(number: int | Decimal) -> str:
    """Return a number as people write it, every digit and no exponent where that is short."""
    if isinstance(number, Decimal) and is_calculable(number):
        return format(number, "f")
    return str(number)
