"""Transforms of texts. None of them makes a text of unbounded length."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Literal

from outbox.config.transforms import Pad
from outbox.flow.refused import Refused, expected

TextTransform = Callable[[str], object]

# More than any field of a record takes; what is merely copied may be longer.
MAX_CHARACTERS = 1_000_000

_SPACES = re.compile(r"\s+")
# Letters that no normal form takes apart, as passports and banks write them.
_LETTERS = str.maketrans(
    {
        "ß": "ss",
        "ẞ": "SS",
        "æ": "ae",
        "Æ": "AE",
        "œ": "oe",
        "Œ": "OE",
        "ø": "o",
        "Ø": "O",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
        "Đ": "D",
        "ð": "d",
        "Ð": "D",
        "þ": "th",
        "Þ": "TH",
        "\u0131": "i",
        "\u2013": "-",
        "\u2014": "-",
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
    }
)


def of_text(transform: TextTransform) -> Callable[[object], object]:
    """Return a transform of any value that refuses all but texts of bounded length."""

    def transformed(value: object) -> object:
        if not isinstance(value, str):
            raise expected("a string", value)
        if len(value) > MAX_CHARACTERS:
            raise Refused(f"is a string of more than {MAX_CHARACTERS} characters")
        made = transform(value)
        return made if made.__class__ is not str or len(made) <= MAX_CHARACTERS else bounded(made)

    return transformed


def bounded(made: object) -> object:
    """Return what was made, unless it is a text that is too long."""
    if isinstance(made, str) and len(made) > MAX_CHARACTERS:
        raise Refused(f"becomes a string of more than {MAX_CHARACTERS} characters")
    return made


def collapsed(text: str) -> str:
    """Return a text in which each run of spaces and line breaks is one space."""
    return _SPACES.sub(" ", text)


def truncated(characters: int) -> TextTransform:
    """Cut a text, never between a letter and its marks: what follows of them is cut as well."""

    def cut(text: str) -> str:
        if len(text) <= characters:
            return text
        end = characters
        while end > 0 and unicodedata.combining(text[end]):
            end -= 1
        return text[:end]

    return cut


def replaced(pairs: dict[str, str]) -> TextTransform:
    """Replace texts in one walk, the longest first: what was put in is not looked at again."""
    pattern = re.compile("|".join(re.escape(old) for old in sorted(pairs, key=len, reverse=True)))
    most = max(len(new) for new in pairs.values())

    def replace(text: str) -> str:
        # The longest result that there could be, before any of it is made.
        if most and len(text) * most > MAX_CHARACTERS and len(pattern.findall(text)) * most > MAX_CHARACTERS:
            raise Refused(f"becomes a string of more than {MAX_CHARACTERS} characters")
        return pattern.sub(lambda found: pairs[found[0]], text)

    return replace


def removed(characters: str) -> TextTransform:
    """Take characters out."""
    table = dict.fromkeys(map(ord, characters))
    return lambda text: text.translate(table)


def padded(pad: Pad, *, on_the_left: bool) -> TextTransform:
    """Fill a text up."""
    if on_the_left:
        return lambda text: text.rjust(pad.length, pad.fill)
    return lambda text: text.ljust(pad.length, pad.fill)


def normalized(form: Literal["NFC", "NFD", "NFKC", "NFKD"]) -> TextTransform:
    """Bring a text into a normal form."""
    return lambda text: unicodedata.normalize(form, text)


def as_ascii(text: str) -> str:
    """Write a text in ASCII.

    Raises:
        Refused: a character has no such form; leaving it out could make two names one.
    """
    parts = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    plain = "".join(part for part in parts if not unicodedata.combining(part))
    if not plain.isascii():
        place = next(n for n, character in enumerate(plain) if not character.isascii())
        raise Refused(f"has a character without an ASCII form, about the {place + 1}th")
    return plain


def split(separator: str) -> TextTransform:
    """Return the parts of a text."""
    return lambda text: text.split(separator)
