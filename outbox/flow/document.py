"""Reading a payload as JSON, exactly. Numbers keep every digit, and whatever is ambiguous is refused.

An error says what is wrong and where, never what was there: payloads stay out of logs and dead letters.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import NoReturn

from outbox.model.errors import MappingError
from outbox.model.exact_numbers import MAX_INTEGER, MIN_INTEGER

# What an error is about when it is not one field.
DOCUMENT = "(document)"

_MAX_INTEGER_DIGITS = 20

_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    str: "a string",
    int: "a number",
    Decimal: "a number",
    list: "a list",
    dict: "an object",
}

# Valid pairs and other escapes are consumed first, so whatever is left over as `lone` stands alone.
_SURROGATES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def parse_document(payload: bytes) -> dict[str, object]:
    """Return the object that a payload's JSON text describes.

    Raises:
        MappingError: it is not UTF-8, not JSON, not an object, ambiguous, or cannot be written again exactly.
    """
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise MappingError(DOCUMENT, f"is not valid UTF-8 at byte {error.start}") from None
    # Parser errors are cut loose from their cause, which carries the whole text.
    try:
        parsed = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        # Some messages end in ": <the character found>".
        complaint = error.msg.partition(":")[0]
        raise MappingError(DOCUMENT, f"is not valid JSON at character {error.pos}: {complaint}") from None
    except RecursionError:
        raise MappingError(DOCUMENT, "is nested too deep") from None
    if not isinstance(parsed, dict):
        raise MappingError(DOCUMENT, f"is {kind_of(parsed)}, expected an object")
    # Most payloads have no escapes at all.
    for escape in _SURROGATES.finditer(text) if "\\u" in text else ():
        if escape["lone"]:
            raise MappingError(DOCUMENT, f"has half of a surrogate pair at character {escape.start()}")
    return parsed


def kind_of(value: object) -> str:
    """Name a JSON value's kind for people, without its content."""
    return _KINDS.get(type(value), f"a {type(value).__name__}")


def _integer(text: str) -> int | Decimal:
    # Python refuses to convert thousands of digits to int; Decimal takes them, and in linear time.
    if len(text) <= _MAX_INTEGER_DIGITS and MIN_INTEGER <= (value := int(text)) <= MAX_INTEGER:
        return value
    return _decimal(text)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise MappingError(DOCUMENT, "has a number whose exponent is out of any range") from None


def _constant(name: str) -> NoReturn:
    raise MappingError(DOCUMENT, f"has {name}, which is not JSON")


def _object(members: list[tuple[str, object]]) -> dict[str, object]:
    built = dict(members)
    if len(built) != len(members):
        # Which of the two was meant, and which one other readers take, nobody knows.
        raise MappingError(DOCUMENT, "has the same key twice in one object")
    return built


_DECODER = json.JSONDecoder(
    parse_int=_integer, parse_float=_decimal, parse_constant=_constant, object_pairs_hook=_object
)
