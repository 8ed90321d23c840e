"""Medians and percentiles. Pure."""

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple


class Spread(NamedTuple):
    """The median over the rounds, and the lowest and highest of them."""

    middle: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread | None:
    """Summarise the rounds; None when there is none."""
    known = list(values)
    return Spread(median(known), min(known), max(known)) if known else None


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that this share of the values does not exceed (nearest rank)."""
    if not values:
        raise ValueError("there is no percentile of nothing")
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]
