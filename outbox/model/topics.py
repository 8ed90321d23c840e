"""Which routing keys a topic exchange sends by which patterns."""

from __future__ import annotations

import re
from collections.abc import Iterable

from outbox.model.replay import type_patterns


def is_routed(patterns: Iterable[str], event_type: str) -> bool:
    """Say whether one of these patterns matches: ``*`` is one word, ``#`` any number of them, also none."""
    return any(re.search(expression, f".{event_type}") for expression in type_patterns(patterns))
