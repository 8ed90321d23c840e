"""Reading JSON as every reader would, with every digit, or not at all. Pure.

What is refused is legal JSON in part: a key that stands twice, half of a surrogate pair, and by the reader's limits
depth, numbers and NUL. Some database, queue or consumer behind us would read each of them differently, or not at all.
A flaw says what is wrong and where, never what was there: each room puts it into its own words.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum, auto
from math import isinf
from typing import NoReturn

from outbox.model.exact_numbers import MAX_INTEGER, MIN_INTEGER

# No more are needed for an integer that any writer of JSON can put out again.
_MAX_INTEGER_CHARACTERS = 20
# Valid pairs and other escapes are consumed first, so whatever is left over as `lone` stands alone.
_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|(?P<nul>\\u0000)|\\."
)


class Flaw(Enum):
    """Why a text is not read."""

    NOT_UTF8 = auto()
    NOT_JSON = auto()
    CONSTANT = auto()
    KEY_TWICE = auto()
    TOO_DEEP = auto()
    TOO_MANY_DIGITS = auto()
    OUT_OF_RANGE = auto()
    HALF_A_PAIR = auto()
    NUL = auto()


class UnreadableJson(Exception):
    """A text is no JSON that everybody reads the same way.

    Args:
        flaw: what is wrong.
        at: at which character, or byte where it is not UTF-8; of numbers, keys and depth nobody tells it.
        said: the parser's complaint, or the constant that is not JSON.
    """

    def __init__(self, flaw: Flaw, at: int = 0, said: str = "") -> None:
        self.flaw = flaw
        self.at = at
        self.said = said
        super().__init__(flaw.name)

    def told(self, words: str) -> str:
        """Return what is wrong in somebody's words, in which ``{at}`` and ``{said}`` stand for those."""
        return words.format(at=self.at, said=self.said)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a reader takes of what JSON allows; None: whatever can be read.

    ``digits`` counts all characters of a number. ``is_for_doubles``: neither infinity nor zero for who reads doubles.
    """

    depth: int | None = None
    digits: int | None = None
    exponent: int | None = None
    is_for_doubles: bool = False
    takes_nul: bool = True


class StrictReader:
    """Reads JSON within limits. Made once: making a decoder costs more than reading a payload."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.decoder = json.JSONDecoder(
            parse_int=self._integer, parse_float=self._decimal, parse_constant=_constant, object_pairs_hook=_object
        )

    def read(self, body: bytes) -> tuple[object, str]:
        """Return the value that a body describes, and its text. Numbers are int or Decimal, with every digit.

        Raises:
            UnreadableJson: cut loose from its cause, which carries the whole text.
        """
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise UnreadableJson(Flaw.NOT_UTF8, error.start) from None
        try:
            value: object = self.decoder.decode(text)
        except json.JSONDecodeError as error:
            # Some messages end in ": <the character found>".
            raise UnreadableJson(Flaw.NOT_JSON, error.pos, error.msg.partition(":")[0]) from None
        except RecursionError:
            raise UnreadableJson(Flaw.TOO_DEEP) from None
        most = self._limits.depth
        # Without so many brackets nothing can be too deep.
        if most is not None and text.count("[") + text.count("{") > most and is_deeper(value, most):
            raise UnreadableJson(Flaw.TOO_DEEP)
        # Most payloads have no escapes at all.
        for escape in _ESCAPES.finditer(text) if "\\u" in text else ():
            if escape["lone"]:
                raise UnreadableJson(Flaw.HALF_A_PAIR, escape.start())
            if escape["nul"] and not self._limits.takes_nul:
                raise UnreadableJson(Flaw.NUL, escape.start())
        return value, text

    def _integer(self, text: str) -> int | Decimal:
        # Python refuses to convert thousands of digits to int; Decimal takes them, and in linear time.
        if len(text) <= _MAX_INTEGER_CHARACTERS and MIN_INTEGER <= (value := int(text)) <= MAX_INTEGER:
            return value
        return self._decimal(text)

    def _decimal(self, text: str) -> Decimal:
        limits = self._limits
        if limits.digits is not None and len(text) > limits.digits:
            raise UnreadableJson(Flaw.TOO_MANY_DIGITS)
        try:
            number = Decimal(text)
        except InvalidOperation:
            return _zero(text)
        if limits.exponent is not None and abs(number.adjusted()) > limits.exponent:
            return _zero(text)
        if limits.is_for_doubles and number and (isinf(nearest := float(text)) or nearest == 0):
            raise UnreadableJson(Flaw.OUT_OF_RANGE)
        return number


def _zero(text: str) -> Decimal:
    """Return a number whose exponent is out of any range: only zero can have any."""
    mantissa = re.split("[eE]", text, maxsplit=1)[0]
    if mantissa.strip("-0."):
        raise UnreadableJson(Flaw.OUT_OF_RANGE)
    return Decimal(mantissa)


def _constant(name: str) -> NoReturn:
    raise UnreadableJson(Flaw.CONSTANT, said=name)


def _object(members: list[tuple[str, object]]) -> dict[str, object]:
    built = dict(members)
    if len(built) != len(members):
        # Which of the two was meant, and which one other readers take, nobody knows.
        raise UnreadableJson(Flaw.KEY_TWICE)
    return built


def is_deeper(value: object, most: int) -> bool:
    """Say whether lists and objects stand in each other on more than so many levels."""
    level: list[object] = [value]
    for _ in range(most):
        level = [
            child
            for parent in level
            if isinstance(parent, (dict, list))
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True
