"""What waits in outbox.unrouted, counted by type; which types a pattern means. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

_KEYS_REMEMBERED = 1000


@dataclass(slots=True)
class ParkedType:
    """The parked events of one type. ``keys`` stops at 1000; ``oldest`` is when the oldest was committed."""

    messages: int = 0
    oldest: datetime | None = None
    keys: set[str] = field(default_factory=set)

    def add(self, committed_at: datetime | None, key: object) -> None:
        """Count one."""
        self.messages += 1
        if committed_at is not None and (self.oldest is None or committed_at < self.oldest):
            self.oldest = committed_at
        if isinstance(key, str) and len(self.keys) < _KEYS_REMEMBERED:
            self.keys.add(key)


@dataclass(slots=True)
class Survey:
    """What was seen: ``waiting`` messages at the start, of which the first ``seen`` were looked at, oldest first.

    ``foreign``: no events of an outbox; they are left where they are, whatever is done.
    """

    waiting: int = 0
    seen: int = 0
    foreign: int = 0
    types: dict[str, ParkedType] = field(default_factory=dict)

    def matching(self, pattern: str) -> int:
        """Return how many events of these types were seen."""
        return sum(parked.messages for name, parked in self.types.items() if matches(pattern, name))


@dataclass(slots=True)
class Redriven:
    """What a pass did. ``left`` are still there: of other types, or of ``unbound`` ones, which no queue takes."""

    moved: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    unbound: set[str] = field(default_factory=set)
    foreign: int = 0
    waiting: int = 0

    def still_unbound(self) -> int:
        """Return how many events of the pass no queue is bound for."""
        return sum(self.left[name] for name in self.unbound)


def matches(pattern: str, routing_key: str) -> bool:
    """Say whether a topic exchange would route this key by this pattern: * is one word, # any number."""
    return _match(pattern.split("."), routing_key.split("."))


def _match(pattern: list[str], words: list[str]) -> bool:
    # Row by row over the pattern: which prefixes of the key it fits so far. Many # cost no more than a few.
    fits = [True] + [False] * len(words)
    for part in pattern:
        if part == "#":
            reached = False
            for end in range(len(fits)):
                reached = reached or fits[end]
                fits[end] = reached
        else:
            fits = [False, *(fits[end] and part in ("*", words[end]) for end in range(len(words)))]
    return fits[-1]
