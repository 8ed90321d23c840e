"""The Retry-After header. Pure: a date is measured against the answer's own Date, never against our clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# A longer pause is a target's mistake more often than its wish; a day later it can say so again.
MAX_AFTER_SECONDS = 86_400.0

_DELAY = re.compile(r"[0-9]+")
_MAX_DELAY_DIGITS = 9


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Return how long the target asks us to wait, between 0 and a day; None when it does not say.

    Args:
        headers: the answer's headers, names in lower case. What does not parse is ignored.
    """
    text = headers.get("retry-after", "").strip()
    if _DELAY.fullmatch(text):
        seconds = float(text) if len(text) <= _MAX_DELAY_DIGITS else MAX_AFTER_SECONDS
        return min(seconds, MAX_AFTER_SECONDS)
    then, now = _date(text), _date(headers.get("date", ""))
    if then is None or now is None:
        return None
    return min(max((then - now).total_seconds(), 0.0), MAX_AFTER_SECONDS)


def _date(text: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(text)
        # HTTP dates are UTC; one of their three forms does not say so.
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
