"""What is remembered as published, outside of the database: the only way to see that a database has lost something.

A server that was restored, or that took over without the last transactions, is consistent with itself: its cursor and
its rows come out of the same write-ahead log. What it lacks is known to whoever saw it published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

# Enough to see any loss: what a failover loses is always the newest.
REMEMBERED_EVENTS = 200


@dataclass(frozen=True, slots=True)
class Published:
    """An event that the broker has confirmed, and the epoch of the relay that published it."""

    epoch: int
    sequence: int
    message_id: str


@dataclass(frozen=True, slots=True)
class Witness:
    """The newest events that are known to be published, oldest first. Empty: somebody led, and published nothing."""

    published: tuple[Published, ...] = ()

    def highest_sequence(self) -> int | None:
        """Return the highest sequence that receivers are known to hold."""
        return max((event.sequence for event in self.published), default=None)

    def to_json(self, origin: str) -> bytes:
        """Return the witness as the broker keeps it, under the name of its outbox."""
        return orjson.dumps(
            {"origin": origin, "published": [[one.epoch, one.sequence, one.message_id] for one in self.published]}
        )

    def within(self, origin: str, max_bytes: int | None) -> Witness:
        """Return what of it the broker takes: the newest events, because what is lost is always the newest."""
        newest = self
        while max_bytes is not None and len(newest.published) > 1 and len(newest.to_json(origin)) > max_bytes:
            newest = Witness(newest.published[len(newest.published) // 2 :])
        return newest

    @classmethod
    def from_json(cls, text: bytes) -> tuple[str, Witness]:
        """Return the origin and the witness that the broker has kept.

        Raises:
            ValueError: this is no witness.
        """
        try:
            content: Any = orjson.loads(text)
            events = tuple(Published(int(one[0]), int(one[1]), str(one[2])) for one in content["published"])
            return str(content["origin"]), cls(events)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"not a witness: {type(error).__name__}") from error


def together(first: Witness | None, second: Witness | None) -> Witness | None:
    """Return what both have seen, each event once, for its last publisher; None when there is neither."""
    if first is None or second is None:
        return first or second
    newest = {event.message_id: event for event in first.published}
    for event in second.published:
        known = newest.get(event.message_id)
        if known is None or known.epoch < event.epoch:
            newest[event.message_id] = event
    return Witness(tuple(newest.values()))
