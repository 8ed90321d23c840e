"""JSON to and from a target, exactly, and what may be quoted from its answers."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator

import orjson

from outbox.model.errors import MappingError
from outbox.model.exact_json import exact_number

MAX_MESSAGE_CHARACTERS = 200

# What a target says is searched for what it was sent. Shorter values are codes and flags (EUR, new, 42): blotting
# them out would hide nothing and make messages unreadable.
_MIN_TOLD_CHARACTERS = 4
# Characters to search times values to search for: some milliseconds. Beyond that nothing is quoted.
_MAX_SEARCH = 20_000_000

# Where targets commonly put a sentence for people, the most telling first.
_MESSAGE_FIELDS = ("message", "detail", "error", "title")

MISSING = object()

# Made once: a new one for each answer costs more than reading it.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


def encode(document: object) -> bytes:
    """Write a document as JSON: keys in its order, decimals with every digit.

    Raises:
        MappingError: it holds something that JSON cannot say.
    """
    try:
        return orjson.dumps(document, default=exact_number)
    except orjson.JSONEncodeError as error:
        # The encoder's messages name kinds and limits, never values.
        raise MappingError("(document)", f"cannot be written as JSON: {error}") from None


def decode(body: bytes) -> object:
    """Read an answer. Numbers become their text: an id of 20 digits must not become a float.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
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


def told(document: object) -> frozenset[str]:
    """Return what an answer could repeat of a document that was sent: its texts and numbers, but for the shortest."""
    return frozenset(text for text in _leaves(document) if len(text.strip()) >= _MIN_TOLD_CHARACTERS)


def message(body: bytes | None, hidden: Collection[str]) -> str:
    """Return what an error answer says for people, one short line, or an empty string.

    Only known fields are quoted, for the rest of an answer may repeat what was sent to it.

    Args:
        body: the answer's.
        hidden: secrets, and what was sent: none of it is quoted.
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
                return quotable(text, hidden)
    return ""


def quotable(text: str, hidden: Collection[str]) -> str:
    """Return a stranger's text as it may stand in a reason, or nothing where it is too long to be searched."""
    is_searchable = len(text) * len(hidden) <= _MAX_SEARCH
    return one_line(text, hidden, max_characters=MAX_MESSAGE_CHARACTERS) if is_searchable else ""


def one_line(text: str, hidden: Iterable[str], *, max_characters: int) -> str:
    """Make a stranger's text fit for a log line: nothing that must stay hidden, no control characters, not long."""
    # Before the cut, and the longest first: otherwise the better half of a secret could be left standing.
    for secret in sorted(hidden, key=len, reverse=True):
        text = text.replace(secret, "***")
    line = "".join(character if character.isprintable() else " " for character in text).strip()
    return line if len(line) <= max_characters else line[: max_characters - 1] + "…"


def _leaves(document: object) -> Iterator[str]:
    pending = [document]
    while pending:
        match pending.pop():
            case dict() as members:
                pending.extend(members.values())
            case list() as members:
                pending.extend(members)
            case str() as text:
                yield text
            case None | bool():
                pass
            case number:
                yield str(number)
