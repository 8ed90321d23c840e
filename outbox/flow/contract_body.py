"""Reading a payload for its contract, exactly: every digit counts, and what can be read in two ways is refused."""

from __future__ import annotations

from collections.abc import Mapping

from outbox.model.contract import Violation
from outbox.model.strict_json import Flaw, Limits, StrictReader, UnreadableJson

# Far beyond binary floats and amounts of money. Ten characters such as 1e-1000000 cost a validator half a millisecond,
# so that a payload full of them would hold up everybody behind it. The depth is that of no event, and far below where
# a validator could run out of stack.
_LIMITS = Limits(depth=200, digits=1000, exponent=1000)
READER = StrictReader(_LIMITS)
_RULE = "json"
WORDS: Mapping[Flaw, str] = {
    Flaw.NOT_UTF8: "bytes that are not UTF-8, at byte {at}",
    Flaw.NOT_JSON: "text that is not JSON, at character {at}",
    Flaw.CONSTANT: "a constant that is not JSON",
    Flaw.KEY_TWICE: "the same key twice in one object",
    Flaw.TOO_DEEP: f"lists and objects nested deeper than {_LIMITS.depth} levels",
    Flaw.TOO_MANY_DIGITS: "a number of too many digits",
    Flaw.OUT_OF_RANGE: "a number whose exponent is out of any range",
    Flaw.HALF_A_PAIR: "half of a surrogate pair",
    Flaw.NUL: "a NUL",
}


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
        value, _ = READER.read(body)
    except UnreadableJson as error:
        raise UnreadableBody(error.told(WORDS[error.flaw])) from None
    return value
