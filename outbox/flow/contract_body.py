"""Reading a payload for its contract, exactly: every digit counts, and what can be read in two ways is refused."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import NoReturn

from outbox.model.contract import Violation

# Far beyond binary floats and amounts of money. Ten characters such as 1e-1000000 cost a validator half a millisecond,
# so that a payload full of them would hold up everybody behind it.
_MAX_DIGITS = 1000
_MAX_EXPONENT = 1000
_TOO_MANY_DIGITS = "a number of too many digits"
_OUT_OF_RANGE = "a number whose exponent is out of any range"
# Deeper than any event, and far below where a validator could run out of stack.
_MAX_DEPTH = 200
_RULE = "json"


class UnreadableBody(Exception):
    """The body is no JSON that everybody reads the same way."""

    def __init__(self, found: str) -> None:
        self.violation = Violation("", _RULE, found)
        super().__init__(found)


def parse_body(body: bytes) -> object:
    """Return the value that a body's JSON text describes: ints and Decimals with every digit.

    Raises:
        UnreadableBody: no UTF-8, no JSON, the same key twice, half a character, too deep, an absurd number.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise UnreadableBody(f"bytes that are not UTF-8, at byte {error.start}") from None
    # Errors are cut loose from their cause, which carries the whole text.
    try:
        value: object = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise UnreadableBody(f"text that is not JSON, at character {error.pos}") from None
    except ValueError:
        # Python converts no integer of thousands of digits.
        raise UnreadableBody(_TOO_MANY_DIGITS) from None
    except RecursionError:
        raise UnreadableBody(_too_deep()) from None
    # Without so many brackets nothing can be too deep.
    if text.count("[") + text.count("{") > _MAX_DEPTH and not _is_shallow(value):
        raise UnreadableBody(_too_deep())
    # Half a surrogate pair can only come from an escape.
    if "\\u" in text and not _is_unicode(value):
        raise UnreadableBody("half of a surrogate pair")
    return value


def _too_deep() -> str:
    return f"lists and objects nested deeper than {_MAX_DEPTH} levels"


def _is_shallow(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(_MAX_DEPTH + 1):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return True
    return False


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _is_unicode(value: object) -> bool:
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            pending += one.values()
            pending += one.keys()
        elif isinstance(one, list):
            pending += one
        elif isinstance(one, str) and not one.isascii() and any("\ud800" <= character <= "\udfff" for character in one):
            return False
    return True


def _decimal(text: str) -> Decimal:
    if len(text) > _MAX_DIGITS:
        raise UnreadableBody(_TOO_MANY_DIGITS)
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise UnreadableBody(_OUT_OF_RANGE) from None
    if abs(number.adjusted()) > _MAX_EXPONENT:
        raise UnreadableBody(_OUT_OF_RANGE)
    return number


def _constant(_name: str) -> NoReturn:
    raise UnreadableBody("a constant that is not JSON")


def _object(members: list[tuple[str, object]]) -> dict[str, object]:
    built = dict(members)
    if len(built) != len(members):
        # Which of the two other readers take, nobody knows: the check would vouch for the wrong one.
        raise UnreadableBody("the same key twice in one object")
    return built


_DECODER = json.JSONDecoder(parse_float=_decimal, parse_constant=_constant, object_pairs_hook=_object)
