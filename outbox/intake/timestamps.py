"""Reading the time that a sender has signed, strictly. Whether it is recent is for the database's clock to say.

A number that is read kindly is a hole: NaN is neither too old nor too new, "1e9" and " 12" are written differently by
whoever signs and whoever reads, and milliseconds read as seconds lie fifty thousand years ahead.
"""

from __future__ import annotations

import re
from enum import StrEnum

from outbox.intake.problems import Problem, RefusedRequest

_DIGITS = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)
# 2001-09-09 in milliseconds, and the year 33658 in seconds: no time that somebody signs is read wrongly.
_FIRST_MILLISECONDS = 10**12


class TimeUnit(StrEnum):
    """What a sender counts since 1970."""

    SECONDS = "s"
    MILLISECONDS = "ms"


def signed_seconds(header: str, text: str | None, unit: TimeUnit) -> float:
    """Return a timestamp in seconds since 1970.

    Raises:
        RefusedRequest: there is none, or it is not a plain whole number in this unit.
    """
    if not text:
        raise RefusedRequest(Problem.TIMESTAMP_MISSING, f"{header} is missing")
    if _DIGITS.fullmatch(text) is None:
        raise RefusedRequest(Problem.TIMESTAMP_MALFORMED, f"{header} is not a plain whole number")
    number = int(text)
    if unit is TimeUnit.SECONDS and number >= _FIRST_MILLISECONDS:
        raise RefusedRequest(Problem.TIMESTAMP_MALFORMED, f"{header} looks like milliseconds, expected seconds")
    if unit is TimeUnit.MILLISECONDS and number < _FIRST_MILLISECONDS:
        raise RefusedRequest(Problem.TIMESTAMP_MALFORMED, f"{header} looks like seconds, expected milliseconds")
    return number / 1000 if unit is TimeUnit.MILLISECONDS else float(number)
