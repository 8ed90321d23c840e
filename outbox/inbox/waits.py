"""Looks after deliveries that wait for ids of other systems: many in one statement, none of them rendered.

What waits is not due, so it costs those that are not waiting nothing; and what is looked at needs no payload, because
what it lacks is stored beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from outbox.model.awaited import Look, LookAgain, Waiting, given_up_reason, pause_seconds, waiting_reason
from outbox.model.delivery import State
from outbox.model.flow_events import Parked, WaitsBegan, WaitsEnded
from outbox.model.inbox import Parking
from outbox.model.lifecycle import Report

# No pause is shorter.
_LOOK_EVERY_SECONDS = 1.0
# One look at so many costs some milliseconds, and holds the rows of the lanes as long.
_MOST = 1_000


class WaitSession(Protocol):
    """The inbox as the waits need it."""

    async def wait(self, owner: str, waitings: Sequence[Waiting]) -> set[int]:
        """Let deliveries wait; return those that do."""
        ...

    async def waits(self, owner: str, most: int) -> list[Look]:
        """Return what waits and is to be looked at again, no more than so many."""
        ...

    async def look_again(self, owner: str, looks: Sequence[LookAgain]) -> set[int]:
        """End looks; return those of which that holds."""
        ...

    async def end_waits(self, owner: str, lanes: Iterable[int]) -> int:
        """Make everything due that waits in these lanes; return how many."""
        ...

    async def park(self, owner: str, parkings: Sequence[Parking]) -> set[int]:
        """Park deliveries without a call; return those that were parked."""
        ...


class Waits:
    """What one process does for the deliveries of one flow that wait. ``is_needed``: its mapping has rules that do."""

    def __init__(self, flow: str, report: Report, clock: Callable[[], float], *, is_needed: bool) -> None:
        self._flow = flow
        self._report = report
        self._clock = clock
        self._is_needed = is_needed
        self._look_at = 0.0
        self._lanes: frozenset[tuple[int, int]] = frozenset()

    def seconds_left(self) -> float:
        """Return for how long nothing has to be looked at."""
        return max(self._look_at - self._clock(), 0.0) if self._is_needed else _LOOK_EVERY_SECONDS

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
        if not self._is_needed or self.seconds_left() > 0:
            return ended > 0
        looks = await session.waits(owner, _MOST)
        if not looks:
            self._look_at = self._clock() + _LOOK_EVERY_SECONDS
            return ended > 0
        # What was cut off is looked at in the next round: what is due has its turn in between.
        over = [look for look in looks if look.missing and look.left_seconds <= 0]
        again = [_again(look) for look in looks if not look.missing or look.left_seconds > 0]
        going = await session.look_again(owner, again) if again else set()
        self._tell(len([one for one in again if one.pause_seconds is None and one.id in going]))
        return await self._give_up(session, owner, over) + len(going) > 0

    async def _anew(self, session: WaitSession, owner: str, lanes: frozenset[tuple[int, int]]) -> int:
        """Let what waits in a lane that is new here be mapped anew: the mapping may be another one than it was."""
        new = lanes - self._lanes
        self._lanes = lanes
        ended = await session.end_waits(owner, sorted(lane for lane, _ in new)) if new else 0
        self._tell(ended)
        return ended

    async def _give_up(self, session: WaitSession, owner: str, over: Sequence[Look]) -> int:
        parkings = [Parking(look.id, look.epoch, State.DEAD, given_up_reason(look), "mapping") for look in over]
        parked = await session.park(owner, parkings) if parkings else set()
        for look, parking in zip(over, parkings, strict=True):
            if look.id in parked:
                self._report(Parked(self._flow, look.message_id, look.sequence, None, parking.state, parking.reason))
        return len(parked)

    def _tell(self, ended: int) -> None:
        if ended:
            self._report(WaitsEnded(self._flow, ended))


def _again(look: Look) -> LookAgain:
    if not look.missing:
        return LookAgain(look.id, look.epoch, None, look.reason)
    pause = pause_seconds(look.waited_seconds, look.left_seconds)
    return LookAgain(look.id, look.epoch, pause, waiting_reason(look.missing))
