"""JSON to and from a target, exactly, and what may be quoted from its answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal

import orjson

from outbox.model.errors import MappingError

MAX_MESSAGE_CHARACTERS = 200

# Where targets commonly put a sentence for people, the most telling first.
_MESSAGE_FIELDS = ("message", "detail", "error", "title")

MISSING = object()


def encode(document: Mapping[str, object]) -> bytes:
    """Write a document as JSON: keys in its order, decimals with every digit.

    Raises:
        MappingError: it holds something that JSON cannot say.
    """
    try:
        return orjson.dumps(document, default=_exact_number)
    except orjson.JSONEncodeError as error:
        # The encoder's messages name kinds and limits, never values.
        raise MappingError("(document)", f"cannot be written as JSON: {error}") from None


def decode(body: bytes) -> object:
    """Read an answer. Numbers become their text: an id of 20 digits must not become a float.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return json.loads(body, parse_int=str, parse_float=str)
    except RecursionError:
        raise ValueError("nested too deep") from None


def dig(document: object, path: str) -> object:
    """Return the value at a dotted path, where a number is a place in a list; MISSING when there is none."""
    found = document
    for name in path.split("."):
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isascii() and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return MISSING
    return found


def message(body: bytes | None, secrets: Iterable[str]) -> str:
    """Return what an error answer says for people, one short line, or an empty string.

    Only known fields are quoted, for the rest of an answer may repeat what was sent to it.
    """
    if not body:
        return ""
    try:
        document = decode(body)
    except ValueError:
        return ""
    inner = document.get("error") if isinstance(document, dict) else None
    for candidate in (inner, document):
        if not isinstance(candidate, dict):
            continue
        for name in _MESSAGE_FIELDS:
            text = candidate.get(name)
            if isinstance(text, str) and text.strip():
                return one_line(text, secrets, max_characters=MAX_MESSAGE_CHARACTERS)
    return ""


def one_line(text: str, secrets: Iterable[str], *, max_characters: int) -> str:
    """Make a stranger's text fit for a log line: no secrets, no control characters, not long."""
    # Before the cut, which could leave the better half of a secret standing.
    for secret in secrets:
        text = text.replace(secret, "***")
    line = "".join(character if character.isprintable() else " " for character in text).strip()
    return line if len(line) <= max_characters else line[: max_characters - 1] + "…"


def _exact_number(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    raise TypeError
