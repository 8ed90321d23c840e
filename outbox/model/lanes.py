"""Relay lanes: which slice of the keys a cursor speaks of, and which process leads which of them. Pure.

Each process decides for itself from what all of them have told the database. Everybody computes the same shares, so
free lanes are taken without two wanting the same, and a lane is given up only when somebody else is short of one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

MAX_LANES = 64
# The service that decides which lanes a process takes.
KEEPER = "lanes"


@dataclass(frozen=True, slots=True)
class Lane:
    """One of the lanes of a stream, counted from 0."""

    base: str = "outbox.event"
    number: int = 0
    count: int = 1

    @property
    def stream(self) -> str:
        """The name of its cursor, in SQL, logs and metrics."""
        return self.base if self.count == 1 else f"{self.base}:{self.number}/{self.count}"

    @property
    def service(self) -> str:
        """The name of the service that leads it."""
        return "relay" if self.count == 1 else f"relay {self.number}/{self.count}"


ONLY_LANE = Lane()


def lanes_of(base: str, count: int) -> tuple[Lane, ...]:
    """Return all lanes of a stream."""
    return tuple(Lane(base, number, count) for number in range(count))


@dataclass(frozen=True, slots=True)
class Member:
    """A process that shares the lanes. ``is_open``: it takes more than it holds."""

    name: str
    held: int
    is_open: bool = True


@dataclass(frozen=True, slots=True)
class Move:
    """What a process is to do now: take these free lanes, or give up so many."""

    take: tuple[int, ...] = ()
    give_up: int = 0


def fair_shares(lanes: int, members: Collection[Member]) -> dict[str, int]:
    """Return how many lanes each is to hold: numbers that differ by one at most, and with as few moves as can be.

    Who takes no more keeps what it holds, unless that is everybody.
    """
    is_anybody_open = any(member.is_open for member in members)
    shares = {member.name: member.held for member in members if is_anybody_open and not member.is_open}
    takers = sorted((member for member in members if member.name not in shares), key=lambda one: (-one.held, one.name))
    least, ones_more = divmod(max(lanes - sum(shares.values()), 0), max(len(takers), 1))
    return shares | {member.name: least + (place < ones_more) for place, member in enumerate(takers)}


def decide(me: str, lanes: int, members: Collection[Member], free: Sequence[int], left: Collection[int] = ()) -> Move:
    """Return what a process is to do.

    Args:
        me: its name, which is among the members.
        lanes: how many there are.
        members: all that live, as they have told.
        free: lanes that nobody leads or is about to, as far as this process knows; in order.
        left: those of them that stayed free for longer than the others need to notice.
    """
    shares = fair_shares(lanes, members)
    short = {member.name: shares[member.name] - member.held for member in members if shares[member.name] > member.held}
    if not free:
        (mine,) = (member for member in members if member.name == me)
        return Move(give_up=max(0, min(mine.held - shares[me], sum(short.values()))))
    before_me = sum(count for name, count in short.items() if name < me)
    take = tuple(free[before_me : before_me + short.get(me, 0)])
    # Nobody may be left over because somebody is listed who does not take its part.
    return Move(take or tuple(lane for lane in free if lane in left)[:1])
