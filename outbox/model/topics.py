"""Which routing keys a topic exchange sends by which patterns."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORDS = {"#": r"(?:\.[^.]+)*", "*": r"\.[^.]+"}


def is_routed(patterns: Iterable[str], event_type: str) -> bool:
    """Say whether one of these patterns matches: ``*`` is one word, ``#`` any number of them, also none."""
    return any(_expression(pattern).fullmatch(f".{event_type}") for pattern in patterns)


def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(_WORDS.get(word) or re.escape(f".{word}") for word in pattern.split(".")))
