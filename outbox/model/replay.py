"""What is to be applied again, and how far that is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events of a flow are replayed.

    ``patterns``: see `type_patterns`. ``since`` up to before ``until``: when they were written. ``missing_only``:
    those that the flow never had, instead of those that it has finished. ``with_skipped``, ``with_happened``: also
    what was skipped or discarded, and what a person has noted as applied. ``on_stale``: the flow's, see
    `OrderPolicy`.
    """

    flow: str
    patterns: tuple[str, ...]
    key: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    missing_only: bool = False
    with_skipped: bool = False
    with_happened: bool = False
    on_stale: str = "park"


@dataclass(frozen=True, slots=True)
class Horizon:
    """The oldest event that is still there; ``is_shortened``: retention has removed older ones.

    ``remembered_from``: of an event that was written before, the inbox may have forgotten that the flow had it.
    """

    oldest: datetime | None
    is_shortened: bool
    remembered_from: datetime

    def refuses(self, since: datetime | None) -> bool:
        """Say whether a replay from this time on would silently leave out what is gone."""
        return since is not None and self.is_cut_off(since)

    def is_cut_off(self, since: datetime | None) -> bool:
        """Say whether events that retention has removed would belong to a replay from this time on; None: from any."""
        return self.is_shortened and (since is None or self.oldest is None or since < self.oldest)

    def is_forgotten(self, since: datetime | None) -> bool:
        """Say whether, from this time on, there are events of which nobody knows that the flow never had them."""
        first = self.oldest if since is None or self.oldest is None else max(since, self.oldest)
        return first is not None and first < self.remembered_from


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """``state``: running, cancelled or done. ``looked_at``: events, of all types. ``replayed``: put into the inbox.

    ``is_waiting``: nothing was done, because enough waits for its calls.
    """

    state: str
    looked_at: int
    replayed: int
    is_waiting: bool = False


@dataclass(frozen=True, slots=True)
class ReplayDecision:
    """Who has started a replay, gone on with it, or ended it."""

    action: str
    who: str
    why: str | None
    decided_at: str


@dataclass(frozen=True, slots=True)
class ReplayEntry:
    """One replay of the audit. ``moved_at``: when it last made a step."""

    id: int
    flow: str
    state: str
    who: str
    why: str
    started_at: str
    ended_at: str | None
    moved_at: str
    missing_only: bool
    with_skipped: bool
    with_happened: bool
    rate_per_s: float | None
    looked_at: int
    replayed: int
    decisions: Sequence[ReplayDecision] = ()


def type_patterns(topics: Iterable[str]) -> tuple[str, ...]:
    """Return topic patterns as regular expressions over a type with a dot before it.

    ``*`` is one word, ``#`` any number of them. Source: AMQP 0-9-1, topic exchanges.
    """
    return tuple(
        "^" + "".join(_WORDS.get(word, rf"\.{re.escape(word)}") for word in topic.split(".")) + "$" for topic in topics
    )


_WORDS = {"*": r"\.[^.]+", "#": r"(\.[^.]+)*"}


def most_waiting(max_waiting: int) -> int:
    """Return how many deliveries of a flow may wait for a call before a replay waits too.

    The intake stops at the whole of ``max_waiting``: the other half is for live events.
    """
    return max(max_waiting // 2, 1)


def both(patterns: Iterable[str], others: Sequence[str]) -> tuple[str, ...]:
    """Return patterns for the types that match one of each; see `type_patterns`."""
    return tuple(f"(?={one}){other}" for one in patterns for other in others)


def pattern_problem(topic: str) -> str | None:
    """Say what is wrong with a topic pattern: a wildcard inside a word means nothing to a broker.

    >>> pattern_problem("order*")
    "'order*': * and # stand for whole words, as in order.*"
    """
    if all(word in _WORDS or not _WORDS.keys() & set(word) for word in topic.split(".")):
        return None
    return f"{topic!r}: * and # stand for whole words, as in order.*"
