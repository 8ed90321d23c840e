"""Which texts the database can store: all of Unicode but NUL and the halves of surrogate pairs. Pure.

Payloads are bytes and hold anything. What is taken out of them, or out of a target's answer, as text must not end the
process that stores it.
"""

from __future__ import annotations

import re

_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Say whether a text can be stored as it is."""
    return _UNSTORABLE.search(text) is None


def readable(text: str | None) -> str | None:
    """Return a text for people, with a mark for each character that cannot be stored."""
    return text and _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)
