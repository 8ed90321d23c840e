"""What is to be applied again, and how far that is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events of a flow are replayed.

    ``patterns``: see `type_patterns`. ``since`` up to before ``until``: when they were written. ``missing_only``:
    those that the flow never had, instead of those that it has finished.
    """

    flow: str
    patterns: tuple[str, ...]
    key: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    missing_only: bool = False


@dataclass(frozen=True, slots=True)
class Horizon:
    """The oldest event that is still there; ``is_shortened``: retention has removed older ones."""

    oldest: datetime | None
    is_shortened: bool

    def refuses(self, since: datetime | None) -> bool:
        """Say whether a replay from this time on would silently leave out what is gone."""
        return self.is_shortened and since is not None and (self.oldest is None or since < self.oldest)


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """``state``: running, cancelled or done. ``looked_at``: events, of all types. ``replayed``: put into the inbox."""

    state: str
    looked_at: int
    replayed: int


@dataclass(frozen=True, slots=True)
class ReplayEntry:
    """One replay of the audit."""

    id: int
    flow: str
    state: str
    who: str
    why: str
    started_at: str
    ended_at: str | None
    missing_only: bool
    looked_at: int
    replayed: int


def type_patterns(topics: Iterable[str]) -> tuple[str, ...]:
    """Return topic patterns as regular expressions over a type with a dot before it.

    ``*`` is one word, ``#`` any number of them. Source: AMQP 0-9-1, topic exchanges.
    """
    return tuple(
        "^" + "".join(_WORDS.get(word, rf"\.{re.escape(word)}") for word in topic.split(".")) + "$" for topic in topics
    )


_WORDS = {"*": r"\.[^.]+", "#": r"(\.[^.]+)*"}
