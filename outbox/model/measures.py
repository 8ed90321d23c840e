"""Units of quantities and their exact factors. What has no fixed factor, such as a month or a degree, is not here."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

# Factors to the first unit of each kind; international definitions of 1959 for pound, inch and what follows of them.
_KINDS: dict[str, dict[str, str]] = {
    "mass": {"g": "1", "mg": "0.001", "kg": "1000", "t": "1000000", "oz": "28.349523125", "lb": "453.59237"},
    "length": {
        "m": "1",
        "mm": "0.001",
        "cm": "0.01",
        "km": "1000",
        "in": "0.0254",
        "ft": "0.3048",
        "yd": "0.9144",
        "mi": "1609.344",
    },
    "area": {"m2": "1", "cm2": "0.0001", "ha": "10000", "km2": "1000000", "ft2": "0.09290304"},
    "volume": {
        "l": "1",
        "ml": "0.001",
        "cl": "0.01",
        "hl": "100",
        "m3": "1000",
        "gal_us": "3.785411784",
        "fl_oz_us": "0.0295735295625",
    },
    "time": {"s": "1", "ms": "0.001", "min": "60", "h": "3600", "d": "86400"},
    "count": {"piece": "1", "pair": "2", "dozen": "12", "gross": "144"},
}
_UNITS = {unit: (kind, Decimal(factor)) for kind, units in _KINDS.items() for unit, factor in units.items()}

UNITS: tuple[str, ...] = tuple(_UNITS)


def kind_of_unit(unit: str) -> str:
    """Return what a unit measures."""
    return _UNITS[unit][0]


def factor_between(given: str, wanted: str) -> Fraction:
    """Return what a quantity is multiplied by to be in the wanted unit, exactly."""
    return Fraction(_UNITS[given][1]) / Fraction(_UNITS[wanted][1])


def is_finite_decimal(factor: Fraction) -> bool:
    """Say whether a factor can be written with a finite number of decimal digits."""
    denominator = factor.denominator
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator == 1
