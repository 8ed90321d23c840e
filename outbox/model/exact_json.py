"""Writing JSON that says exactly what the value said: every digit of a number, the instant of a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from math import isfinite
from uuid import UUID

import orjson

# What orjson writes as an integer by itself.
_LEAST_INTEGER, _GREATEST_INTEGER = -(2**63), 2**64 - 1


def exact_number(value: object) -> orjson.Fragment:
    """Write a decimal as a JSON number; to be given to ``orjson.dumps`` as ``default``.

    Raises:
        TypeError: it is no finite decimal, as orjson expects of what cannot be written.
    """
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    raise TypeError


def exact_json(value: object) -> str:
    """Write a value as JSON text.

    Decimals and integers of any size become numbers with every digit, times with their offset and UUIDs become text.

    Raises:
        TypeError: JSON cannot hold it exactly: infinity, a time without a time zone, an unknown type.
    """
    return orjson.dumps(_writable(value)).decode()


def _writable(value: object) -> object:
    """Return what orjson writes as exactly this."""
    match value:
        case Enum():
            return _writable(value.value)
        case bool() | str() | None:
            return value
        case int():
            is_writable = _LEAST_INTEGER <= value <= _GREATEST_INTEGER
            return value if is_writable else orjson.Fragment(str(value))
        case float() | Decimal():
            if not isfinite(value):
                raise TypeError(f"{value} is not a JSON number; say what is meant with a text or None")
            return exact_number(value) if isinstance(value, Decimal) else value
        case dt.datetime():
            if value.utcoffset() is None:
                raise TypeError(
                    "a time without a time zone says no instant; use datetime.now(UTC) or .replace(tzinfo=…)"
                )
            return value.isoformat()
        case dt.date() | UUID():
            return str(value)
        case Mapping():
            return {_name(name): _writable(member) for name, member in value.items()}
        case list() | tuple():
            return [_writable(member) for member in value]
        case _:
            raise TypeError(f"{type(value).__name__} has no exact form in JSON; give JSON text, or JSON's types")


def _name(name: object) -> str:
    if isinstance(name, str):
        return name
    raise TypeError(f"the name of a member is text, not {type(name).__name__}")
