"""Values with units as people write them in configuration: ``30s``, ``256KiB``. Parsed once, plain numbers after.

A duration always names its unit: retention in days and a poll in milliseconds stand in one file, and a number that is
read in the wrong one deletes what should be kept. A size without a unit is bytes, as everywhere.
"""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import BeforeValidator

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "kB": 1000, "MB": 1000**2, "GB": 1000**3}
# Fifteen digits are exact in a float and more than anyone means.
_QUANTITY = re.compile(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([A-Za-z]+)\s*")
_NUMBER = re.compile(r"\s*\d{1,15}(?:\.\d{1,15})?\s*")


def parse_seconds(value: object) -> object:
    """Turn ``"1.5s"`` into 1.5 seconds. A number without a unit is refused, except 0: ten what?

    Raises:
        ValueError: with the units that are allowed.
    """
    number = bare_number(value)
    if number == 0:
        return 0.0
    if number is not None:
        raise ValueError(f"{value} has no unit; use one of {', '.join(_SECONDS)}, for example 30s")
    if not isinstance(value, str):
        return value
    number, unit = _split(value, "a duration such as 250ms, 30s, 5m, 2h or 7d")
    if unit not in _SECONDS:
        raise ValueError(f"unknown unit {unit!r}; use one of {', '.join(_SECONDS)}, for example 30s")
    return number * _SECONDS[unit]


def bare_number(value: object) -> float | None:
    """Return the number that this is, or that this text is; None when it is anything else, also a quantity."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None


def parse_bytes(value: object) -> object:
    """Turn ``"256KiB"`` into 262144 bytes; numbers pass.

    Raises:
        ValueError: with the units that are allowed.
    """
    if not isinstance(value, str):
        return value
    number, unit = _split(value, "a size such as 512B, 256KiB or 15MiB")
    if unit not in _BYTES:
        raise ValueError(f"unknown unit {unit!r}; use one of {', '.join(_BYTES)}, for example 256KiB")
    return int(number * _BYTES[unit])


def parse_rate(value: object) -> object:
    """Turn ``"20/s"`` into 20 and ``"90/m"`` into 1.5 per second.

    Raises:
        ValueError: there is no unit of time, or an unknown one.
    """
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        raise ValueError(f"{value!r} is no rate; say how many in which time, for example 20/s, 100/m or 5000/d")
    number, slash, unit = value.partition("/")
    if not slash or not _NUMBER.fullmatch(number) or unit.strip() not in ("s", "m", "h", "d"):
        raise ValueError("expected a rate such as 20/s, 100/m, 900/h or 5000/d")
    return float(number) / _SECONDS[unit.strip()]


def _split(value: str, expected: str) -> tuple[float, str]:
    match = _QUANTITY.fullmatch(value)
    if match is None:
        raise ValueError(f"expected {expected}")
    return float(match[1]), match[2]


Seconds = Annotated[float, BeforeValidator(parse_seconds)]
Bytes = Annotated[int, BeforeValidator(parse_bytes)]
PerSecond = Annotated[float, BeforeValidator(parse_rate)]
