"""Numbers with units back to what people write: the opposite of `outbox.model.units`, and exact."""

from __future__ import annotations

from fractions import Fraction

_SECONDS = {
    "d": Fraction(86400),
    "h": Fraction(3600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1000),
}
_BYTES = {"GiB": 1024**3, "MiB": 1024**2, "KiB": 1024}


def seconds_text(seconds: float) -> str:
    """Return ``5m`` for 300.0: the largest unit that gives a whole number, else seconds."""
    exact = Fraction(repr(float(seconds)))
    for unit, size in _SECONDS.items():
        count = exact / size
        if count.denominator == 1 and count != 0:
            return f"{count}{unit}"
    return f"{number_text(seconds)}s"


def bytes_text(count: int) -> str:
    """Return ``15MiB`` for 15728640: the largest unit that gives a whole number."""
    for unit, size in _BYTES.items():
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return f"{count}B"


def number_text(number: float) -> str:
    """Return a number without a fraction that says nothing: 2.0 is ``2``."""
    return str(int(number)) if float(number).is_integer() else str(number)
