"""Reading a body as JSON that means the same to every reader, or not at all. Pure.

The limits are the narrowest of all that read JSON here: nobody could tell the sender any more. What is taken keeps its
bytes: the text is stored as it came.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from outbox.intake.problems import Problem, RefusedRequest
from outbox.model.strict_json import Flaw, Limits, StrictReader, UnreadableJson

# Deeper than any event that people exchange, and far from where parsers of any language give up.
MAX_DEPTH = 100
READER = StrictReader(Limits(depth=MAX_DEPTH, digits=1000, is_for_doubles=True, takes_nul=False))
_SPACE = re.compile(r"[ \t\n\r]*")
REFUSALS: Mapping[Flaw, tuple[Problem, str]] = {
    Flaw.NOT_UTF8: (Problem.JSON_MALFORMED, "it is not valid UTF-8 at byte {at}"),
    Flaw.NOT_JSON: (Problem.JSON_MALFORMED, "at character {at}: {said}"),
    Flaw.CONSTANT: (Problem.JSON_MALFORMED, "{said} is not JSON"),
    Flaw.KEY_TWICE: (Problem.JSON_AMBIGUOUS, ""),
    Flaw.TOO_DEEP: (Problem.JSON_TOO_DEEP, f"more than {MAX_DEPTH} levels"),
    Flaw.TOO_MANY_DIGITS: (Problem.JSON_NUMBER_OUT_OF_RANGE, "it has too many digits"),
    Flaw.OUT_OF_RANGE: (Problem.JSON_NUMBER_OUT_OF_RANGE, "a reader of doubles would see infinity, or zero"),
    Flaw.HALF_A_PAIR: (Problem.JSON_TEXT_UNUSABLE, "half of a surrogate pair at character {at}"),
    Flaw.NUL: (Problem.JSON_TEXT_UNUSABLE, "a NUL at character {at}"),
}


class Document(NamedTuple):
    """A JSON value, and the text that it was read from: an event's payload."""

    value: object
    text: str


def read_document(body: bytes) -> Document:
    """Return what a body says.

    Raises:
        RefusedRequest: it is not UTF-8, not JSON, or means different things to different readers.
    """
    if body.startswith(codecs.BOM_UTF8):
        raise RefusedRequest(Problem.JSON_MALFORMED, "it begins with a byte order mark")
    try:
        return Document(*READER.read(body))
    except UnreadableJson as error:
        problem, words = REFUSALS[error.flaw]
        raise RefusedRequest(problem, error.told(words)) from None


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
        value, end = READER.decoder.raw_decode(text, place)
        yield Document(value, text[place:end])
        place = _behind_space(text, end)
        if text[place] == ",":
            place = _behind_space(text, place + 1)


def _behind_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return place if match is None else match.end()
