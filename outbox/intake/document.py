"""Reading a body as JSON that means the same to every reader, or not at all. Pure.

What is refused is legal JSON in part: a key that stands twice, a number beyond a double, a NUL, half of a surrogate
pair, and a depth at which parsers give up. Each of them is read differently, or not, by some database, queue or
consumer behind us, where nobody could tell the sender any more. An error says what is wrong and where, never what was
there. What is taken keeps its bytes: the text is stored as it came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from math import isinf
from typing import NamedTuple, NoReturn

from outbox.intake.problems import Problem, RefusedRequest

# Deeper than any event that people exchange, and far from where parsers of any language give up.
MAX_DEPTH = 100
# With so few digits an integer is a 64-bit one, or close to it.
_SAFE_INTEGER_CHARACTERS = 18

# Valid pairs and other escapes are consumed first, so whatever is left over as `lone` stands alone.
_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|(?P<nul>\\u0000)|\\."
)
_SPACE = re.compile(r"[ \t\n\r]*")


class Document(NamedTuple):
    """A JSON value, and the text that it was read from: an event's payload."""

    value: object
    text: str


def read_document(body: bytes) -> Document:
    """Return what a body says.

    Raises:
        RefusedRequest: it is not UTF-8, not JSON, or means different things to different readers.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise RefusedRequest(Problem.JSON_MALFORMED, f"it is not valid UTF-8 at byte {error.start}") from None
    if text.startswith("\ufeff"):
        raise RefusedRequest(Problem.JSON_MALFORMED, "it begins with a byte order mark")
    # Errors are cut loose from their cause, which carries the whole text.
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        # Some messages end in ": <the character found>".
        complaint = error.msg.partition(":")[0]
        raise RefusedRequest(Problem.JSON_MALFORMED, f"at character {error.pos}: {complaint}") from None
    except RecursionError:
        raise _too_deep() from None
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    if "\\u" in text:
        _check_escapes(text)
    return Document(value, text)


def elements(document: Document) -> list[Document]:
    """Return the elements of a list, each with its own text.

    Raises:
        RefusedRequest: it is no list.
    """
    if not isinstance(document.value, list):
        raise RefusedRequest(Problem.JSON_NOT_A_LIST)
    return list(_elements(document.text))


def _elements(text: str) -> Iterator[Document]:
    # The text is valid JSON and a list: only its elements are looked for.
    place = _behind_space(text, text.index("[") + 1)
    while text[place] != "]":
        value, end = _DECODER.raw_decode(text, place)
        yield Document(value, text[place:end])
        place = _behind_space(text, end)
        if text[place] == ",":
            place = _behind_space(text, place + 1)


def _behind_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return place if match is None else match.end()


def _check_depth(value: object) -> None:
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            if isinstance(parent, (dict, list))
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> RefusedRequest:
    return RefusedRequest(Problem.JSON_TOO_DEEP, f"more than {MAX_DEPTH} levels")


def _check_escapes(text: str) -> None:
    for escape in _ESCAPES.finditer(text):
        if escape["lone"]:
            raise RefusedRequest(Problem.JSON_TEXT_UNUSABLE, f"half of a surrogate pair at character {escape.start()}")
        if escape["nul"]:
            raise RefusedRequest(Problem.JSON_TEXT_UNUSABLE, f"a NUL at character {escape.start()}")


def _integer(text: str) -> int | Decimal:
    # Python refuses to convert thousands of digits to int; Decimal takes them, and in linear time.
    return int(text) if len(text) <= _SAFE_INTEGER_CHARACTERS else _decimal(text)


def _decimal(text: str) -> Decimal:
    nearest = float(text)
    mantissa = re.split("[eE]", text, maxsplit=1)[0]
    if isinf(nearest) or (nearest == 0 and mantissa.strip("-0.")):
        raise RefusedRequest(Problem.JSON_NUMBER_OUT_OF_RANGE, "a reader of doubles would see infinity, or zero")
    # In range of a double, so no exponent is beyond what Decimal takes; only zero can have any.
    return Decimal(text) if nearest else Decimal(mantissa)


def _constant(name: str) -> NoReturn:
    raise RefusedRequest(Problem.JSON_MALFORMED, f"{name} is not JSON")


def _object(members: list[tuple[str, object]]) -> dict[str, object]:
    built = dict(members)
    if len(built) != len(members):
        # Which of the two was meant, and which one other readers take, nobody knows.
        raise RefusedRequest(Problem.JSON_AMBIGUOUS)
    return built


_DECODER = json.JSONDecoder(
    parse_int=_integer, parse_float=_decimal, parse_constant=_constant, object_pairs_hook=_object
)
