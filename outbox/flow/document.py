"""Reading a payload for a mapping: an object, with every digit and whatever can be read in one way only.

An error says what is wrong and where, never what was there: payloads stay out of logs and dead letters.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from outbox.model.errors import MappingError
from outbox.model.strict_json import Flaw, Limits, StrictReader, UnreadableJson

# What an error is about when it is not one field.
DOCUMENT = "(document)"

_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    str: "a string",
    int: "a number",
    Decimal: "a number",
    list: "a list",
    dict: "an object",
}
WORDS: Mapping[Flaw, str] = {
    Flaw.NOT_UTF8: "is not valid UTF-8 at byte {at}",
    Flaw.NOT_JSON: "is not valid JSON at character {at}: {said}",
    Flaw.CONSTANT: "has {said}, which is not JSON",
    Flaw.KEY_TWICE: "has the same key twice in one object",
    Flaw.TOO_DEEP: "is nested too deep",
    Flaw.TOO_MANY_DIGITS: "has a number of too many digits",
    Flaw.OUT_OF_RANGE: "has a number whose exponent is out of any range",
    Flaw.HALF_A_PAIR: "has half of a surrogate pair at character {at}",
    Flaw.NUL: "has a NUL at character {at}",
}
# What the ERP's database has taken is mapped, whatever a contract would say of it.
READER = StrictReader(Limits())


def parse_document(payload: bytes) -> dict[str, object]:
    """Return the object that a payload's JSON text describes.

    Raises:
        MappingError: it is not UTF-8, not JSON, not an object, ambiguous, or cannot be written again exactly.
    """
    try:
        parsed, _ = READER.read(payload)
    except UnreadableJson as error:
        raise MappingError(DOCUMENT, error.told(WORDS[error.flaw])) from None
    if not isinstance(parsed, dict):
        raise MappingError(DOCUMENT, f"is {kind_of(parsed)}, expected an object")
    return parsed


def kind_of(value: object) -> str:
    """Name a JSON value's kind for people, without its content."""
    return _KINDS.get(type(value), f"a {type(value).__name__}")
