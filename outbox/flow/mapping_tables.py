"""Value tables: what stands for a known value, and what becomes of an unknown one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from outbox.flow.refused import Refused, expected
from outbox.model.exact_numbers import plain_text
from outbox.model.mapping import MISSING


def looked_up(values: Mapping[str, object], missing: str) -> Callable[[object], object]:
    """Return the transform that looks values up by their text."""

    def look_up(value: object) -> object:
        match value:
            case str():
                key = value
            case bool():
                key = "true" if value else "false"
            case int() | Decimal():
                key = plain_text(value)
            case _:
                raise expected("a string, a number or a boolean", value)
        found = values.get(key, MISSING)
        if found is not MISSING:
            return found
        if missing == "dead":
            raise Refused("is a value that the table does not have")
        return value if missing == "keep" else MISSING

    return look_up
