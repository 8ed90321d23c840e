"""Writing numbers to JSON with every digit they came with."""

from __future__ import annotations

from decimal import Decimal

import orjson


def exact_number(value: object) -> orjson.Fragment:
    """Write a decimal as a JSON number; to be given to ``orjson.dumps`` as ``default``.

    Raises:
        TypeError: it is no finite decimal, as orjson expects of what cannot be written.
    """
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    raise TypeError
