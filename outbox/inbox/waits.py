"""Looks after deliveries that wait for ids of other systems: many in one statement, none of them rendered.

What waits is not due, so it costs those that are not waiting nothing; and what is looked at needs no payload, because
what it lacks is stored beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from outbox.inbox.reach import Reach
from outbox.model.awaited import Look, LookAgain, Waiting, given_up_reason, pause_seconds, waiting_reason
from outbox.model.creating import Creator, Request, Standing, are_on_their_way, requests_of, standing_text
from outbox.model.delivery import State
from outbox.model.flow_events import Parked, RecordsAsked, WaitsBegan, WaitsEnded
from outbox.model.inbox import Parking
from outbox.model.lifecycle import Report
from outbox.model.xref import Registry

# No pause is shorter.
_LOOK_EVERY_SECONDS = 1.0
# One look at so many costs some milliseconds, and holds the rows of the lanes as long.
_MOST = 1_000


class WaitSession(Protocol):
    """The inbox as the waits need it."""

    async def wait(self, owner: str, waitings: Sequence[Waiting]) -> set[int]:
        """Let deliveries wait; return those that do."""
        ...

    async def waits(self, owner: str, most: int, reach_seconds: float | None = None) -> list[Look]:
        """Return what waits and is to be looked at again, no more than so many, and so far back (None: all)."""
        ...

    async def look_again(self, owner: str, looks: Sequence[LookAgain]) -> set[int]:
        """End looks; return those of which that holds."""
        ...

    async def create_first(
        self, request: Request, may_search: Sequence[bool], most_waiting: int
    ) -> Mapping[str, Standing]:
        """Ask a flow for records; return how it stands with each key.

        Args:
            request: what is asked for.
            may_search: of which keys an event that the flow never had is searched for.
            most_waiting: while so many deliveries of that flow wait for a call, it is not asked.
        """
        ...

    async def end_waits(self, owner: str, lanes: Iterable[int], after_id: int, most: int) -> tuple[int, int | None]:
        """Make due what waits in these lanes, so many behind an id; return how many, and the last id."""
        ...

    async def park(self, owner: str, parkings: Sequence[Parking]) -> set[int]:
        """Park deliveries without a call; return those that were parked."""
        ...


# Records that were searched for in vain are remembered so far; after that they are searched for once more.
_MOST_SEARCHED = 100_000


@dataclass(frozen=True, slots=True)
class WaitSettings:
    """What a flow's settings say of waits.

    ``may_wait``: its mapping has rules that do. ``creators``: the flows that it may ask for records; while
    ``most_waiting`` deliveries of theirs wait for a call, they are not asked.
    """

    may_wait: bool = False
    creators: Mapping[str, Creator] = field(default_factory=dict)
    most_waiting: int = 50_000


class Waits:
    """What one process does for the deliveries of one flow that wait."""

    def __init__(self, flow: str, report: Report, clock: Callable[[], float], settings: WaitSettings) -> None:
        self._flow = flow
        self._report = report
        self._clock = clock
        self._settings = settings
        self._searched: set[tuple[str, Registry, str]] = set()
        self._look_at = 0.0
        # Each look leaves an entry behind it, for as long as any transaction can still see it.
        self._reach = Reach(clock)
        self._lanes: frozenset[tuple[int, int]] = frozenset()
        self._new_lanes: set[int] = set()
        self._walked_to = 0

    def seconds_left(self) -> float:
        """Return for how long nothing has to be looked at."""
        return max(self._look_at - self._clock(), 0.0) if self._settings.may_wait else _LOOK_EVERY_SECONDS

    async def begin(self, session: WaitSession, owner: str, waitings: Sequence[Waiting]) -> int:
        """Let deliveries wait; return how many do.

        Raises:
            Unavailable: the database is away.
        """
        began = await session.wait(owner, waitings)
        if began:
            reason = next(one.reason for one in waitings if one.id in began)
            self._report(WaitsBegan(self._flow, len(began), reason))
        return len(began)

    async def look(self, session: WaitSession, owner: str, lanes: frozenset[tuple[int, int]]) -> bool:
        """Look at what waits, when it is time to; say whether something was done.

        Args:
            session: the inbox.
            owner: who this process is.
            lanes: those that it holds, with their epochs.

        Raises:
            Unavailable: the database is away.
        """
        ended = await self._anew(session, owner, lanes)
        if not self._settings.may_wait or self.seconds_left() > 0:
            return ended > 0
        looks = await session.waits(owner, _MOST, self._reach.begin(lanes))
        self._reach.end(max([look.due_seconds for look in looks], default=0.0))
        if not looks:
            self._look_at = self._clock() + _LOOK_EVERY_SECONDS
            return ended > 0
        # What was cut off is looked at in the next round: what is due has its turn in between.
        standings = await self._ask(session, looks)
        over = [look for look in looks if _is_over(look, standings)]
        again = [_again(look, standings) for look in looks if not _is_over(look, standings)]
        going = await session.look_again(owner, again) if again else set()
        self._tell(len([one for one in again if one.pause_seconds is None and one.id in going]))
        return await self._give_up(session, owner, over, standings) + len(going) > 0

    async def _ask(self, session: WaitSession, looks: Sequence[Look]) -> _Standings:
        """Ask other flows for what is missing. Done again after a kill, it finds what it has asked for under way."""
        standings: dict[tuple[str, Registry, str], Standing] = {}
        if len(self._searched) > _MOST_SEARCHED:
            self._searched.clear()
        for request in requests_of(looks, self._settings.creators):
            names = [(request.creator.flow, request.registry, key) for key in request.keys]
            may_search = [name not in self._searched for name in names]
            found = await session.create_first(request, may_search, self._settings.most_waiting)
            standings |= {name: found[name[2]] for name in names if name[2] in found}
            self._searched |= {name for name in names if found.get(name[2]) is Standing.NOT_FOUND}
            asked = sum(standing is Standing.ASKED for standing in found.values())
            if asked:
                self._report(RecordsAsked(self._flow, request.creator.flow, asked))
        return standings

    async def _anew(self, session: WaitSession, owner: str, lanes: frozenset[tuple[int, int]]) -> int:
        """Let what waits in a lane that is new here be mapped anew: the mapping may be another one than it was."""
        new = lanes - self._lanes
        self._lanes = lanes
        if new:
            # From the beginning, also of those that a walk was at.
            self._new_lanes |= {lane for lane, _ in new}
            self._walked_to = 0
        if not self._new_lanes:
            return 0
        # What waits again meanwhile lies behind the walk: it is not mapped anew for ever.
        ended, last_id = await session.end_waits(owner, sorted(self._new_lanes), self._walked_to, _MOST)
        if last_id is None:
            self._new_lanes.clear()
        else:
            self._walked_to = last_id
        self._tell(ended)
        return ended

    async def _give_up(self, session: WaitSession, owner: str, over: Sequence[Look], standings: _Standings) -> int:
        reasons = [given_up_reason(look, standing_text(look.missing, standings)) for look in over]
        parkings = [
            Parking(look.id, look.epoch, State.DEAD, reason, "mapping")
            for look, reason in zip(over, reasons, strict=True)
        ]
        parked = await session.park(owner, parkings) if parkings else set()
        for look, parking in zip(over, parkings, strict=True):
            if look.id in parked:
                self._report(Parked(self._flow, look.message_id, look.sequence, None, parking.state, parking.reason))
        return len(parked)

    def _tell(self, ended: int) -> None:
        if ended:
            self._report(WaitsEnded(self._flow, ended))


_Standings = Mapping[tuple[str, Registry, str], Standing]


def _is_over(look: Look, standings: _Standings) -> bool:
    """Say whether it has waited for long enough."""
    # What another flow has before it ends there, and an outage of that flow's target must make no dead letters here.
    return bool(look.missing) and look.left_seconds <= 0 and not are_on_their_way(look.missing, standings)


def _again(look: Look, standings: _Standings) -> LookAgain:
    if not look.missing:
        return LookAgain(look.id, look.epoch, None, look.reason)
    left_seconds = look.left_seconds if look.left_seconds > 0 else inf
    pause = pause_seconds(look.waited_seconds, left_seconds)
    return LookAgain(look.id, look.epoch, pause, waiting_reason(look.missing, standing_text(look.missing, standings)))
