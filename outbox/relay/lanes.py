"""Spreads the lanes of a stream over processes: one keeper a process decides, and each lane has a relay of its own.

Leading is decided by the database alone, lane by lane, as for a stream without lanes. What is decided here is only who
tries: a process that errs, freezes or is cut off delays a lane by a moment, and can never make two lead it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from outbox.model.backoff import Backoff
from outbox.model.errors import LeaseLost
from outbox.model.lane_events import LanesShared, LeadGivenUp
from outbox.model.lanes import Lane, Member, decide
from outbox.model.lifecycle import LeadTaken, Lifecycle, Report, StandingBy
from outbox.supervisor import HEALTHY_AFTER_SECONDS, Pulse, Stop

# How often who waits for a lane shows that it lives.
_BEAT_SECONDS = 5.0
# In units of the pause between two looks: a lane that nobody has taken for so long is anybody's.
_LOOKS_UNTIL_LEFT = 5


class _Relay(Protocol):
    async def run(self, stop: Stop, pulse: Pulse) -> None: ...


class LaneRelay:
    """One lane's relay; it runs while this process is to lead the lane."""

    def __init__(self, lane: Lane, relay: _Relay, report: Report, *, rest: Backoff) -> None:
        self.lane = lane
        self._relay = relay
        self._report = report
        self._rest = rest
        self._news = asyncio.Event()
        # Set while it is to lead; what it holds ends the relay in order.
        self._leave: Stop | None = None
        self._is_leading = False
        self._is_known_to_be_others = False
        self._failures = 0
        self._rests_until = 0.0
        self.on_failure: Callable[[], None] = _ignore

    @property
    def is_held(self) -> bool:
        """Whether it leads, is about to, or has not ended yet."""
        return self._leave is not None

    def is_resting(self) -> bool:
        """Say whether it has just failed here: another process may do better."""
        return time.monotonic() < self._rests_until

    def take(self) -> None:
        """Lead the lane from now on, if the database gives the lead."""
        self._leave = Stop()
        self._news.set()

    def give_up(self) -> None:
        """Stop leading, in order."""
        if self._leave is not None:
            self._leave.set()

    def leave_to_others(self) -> None:
        """Note that the lane is somebody else's for now."""
        if not self._is_known_to_be_others:
            self._is_known_to_be_others = True
            self._report(StandingBy(self.lane.stream))
            self._news.set()

    def hear(self, event: Lifecycle) -> None:
        """Note what its relay tells."""
        match event:
            case LeadTaken() if event.stream == self.lane.stream:
                self._is_leading = True
                self._is_known_to_be_others = False
            case StandingBy() if event.stream == self.lane.stream:
                # Another process was faster.
                self._is_known_to_be_others = True
                self.give_up()
            case _:
                pass

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Lead whenever that is wanted, until stopped.

        Raises:
            Unavailable, LeaseLost, Misconfigured: as the relay.
        """
        while not stop.is_set():
            if self._leave is not None:
                await self._lead(self._leave, stop, pulse)
                continue
            if self._is_known_to_be_others:
                # As a standby that has found another relay leading: what fails later may pass by itself.
                pulse.establish()
            pulse.beat()
            self._news.clear()
            async with _passed_on(stop, self._news.set):
                await stop.pause(_BEAT_SECONDS, wake=self._news)

    async def _lead(self, leave: Stop, stop: Stop, pulse: Pulse) -> None:
        began_at = time.monotonic()
        has_failed = True
        try:
            async with _passed_on(stop, leave.set):
                await self._relay.run(leave, pulse)
            has_failed = False
        except* LeaseLost:
            has_failed = False
            raise
        finally:
            if time.monotonic() - began_at > HEALTHY_AFTER_SECONDS:
                self._failures = 0
            if has_failed:
                self._failures += 1
                pause_seconds = self._rest.delay_seconds(self._failures, random.random())  # noqa: S311 - jitter, not a secret
                self._rests_until = time.monotonic() + pause_seconds
            self._leave = None
            if self._is_leading:
                self._is_leading = False
                self._report(LeadGivenUp(self.lane.stream))
            if has_failed:
                # Told at once: who is alone tries again. Where others were faster there is nothing to hurry for.
                self.on_failure()


class Session(Protocol):
    """The database as the keeper needs it; its end tells the others that this process is gone."""

    @property
    def name(self) -> str:
        """How this process is called among those that share the lanes."""
        ...

    async def join(self) -> None:
        """Become one of those that share the lanes."""
        ...

    async def share(self, held: int, *, is_open: bool) -> list[Member]:
        """Say how this process stands, and return all that live."""
        ...

    async def free_lanes(self) -> list[int]:
        """Return the lanes whose lead can be taken."""
        ...


class Store(Protocol):
    """Opens the keeper's session."""

    @property
    def stream(self) -> str:
        """The stream whose lanes are shared."""
        ...

    def session(self) -> AbstractAsyncContextManager[Session]:
        """Open a session."""
        ...


class Broker(Protocol):
    """The broker, as far as it must be there."""

    def publisher(self) -> AbstractAsyncContextManager[object]:
        """Connect, and make sure of the topology."""
        ...


@dataclass(slots=True)
class _Free:
    """Since when lanes are free, as this process has seen it."""

    since: dict[int, float]

    def see(self, free: Sequence[int], now: float, *, left_after_seconds: float) -> set[int]:
        """Return the lanes that stayed free for too long."""
        self.since = {number: self.since.get(number, now) for number in free}
        return {number for number, since in self.since.items() if now - since >= left_after_seconds}


class LaneKeeper:
    """A supervised service: looks who shares the lanes, and takes or gives up some."""

    def __init__(
        self, store: Store, broker: Broker, relays: Sequence[LaneRelay], *, look_every_seconds: float, report: Report
    ) -> None:
        self._store = store
        self._broker = broker
        self._relays = relays
        self._look_every_seconds = look_every_seconds
        self._report = report
        self._wake = asyncio.Event()
        self._order: list[int] = []
        self._free = _Free({})
        self._has_too_many = False
        self._is_in_doubt = False
        self._told: LanesShared | None = None
        for relay in relays:
            relay.on_failure = self._wake.set

    def hear(self, event: Lifecycle) -> None:
        """Pass on what a relay tells."""
        for relay in self._relays:
            relay.hear(event)

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Look every now and then until stopped; the relays of the lanes go on while this cannot.

        Raises:
            Unavailable: the database or the broker is away.
            LeaseLost: the others count this process as gone; it joins again.
            Misconfigured: a person must act, for example because the number of lanes was changed.
        """
        async with self._store.session() as session:
            # First, so that what is wrong with the database is told before what is wrong with the broker.
            await session.free_lanes()
            await self._try_broker()
            await session.join()
            pulse.establish()
            async with _passed_on(stop, self._wake.set):
                while not stop.is_set():
                    pulse.beat()
                    self._wake.clear()
                    await self._look(session)
                    await stop.pause(self._look_every_seconds, wake=self._wake)

    async def _look(self, session: Session) -> None:
        self._order = [number for number in self._order if self._relays[number].is_held]
        resting = {relay.lane.number for relay in self._relays if relay.is_resting()}
        self._is_in_doubt = self._is_in_doubt or bool(resting)
        if self._is_in_doubt and not resting:
            # Lanes are given up for whoever is open: who cannot reach the broker takes none from those who can.
            await self._try_broker()
            self._is_in_doubt = False
        members = await session.share(len(self._order), is_open=not resting)
        free = [number for number in await session.free_lanes() if number not in self._order]
        left = self._free.see(free, time.monotonic(), left_after_seconds=_LOOKS_UNTIL_LEFT * self._look_every_seconds)
        move = decide(session.name, len(self._relays), members, free, left - resting)
        for number in move.take:
            self._relays[number].take()
            self._order.append(number)
        # Twice in a row: who has come a moment ago may be taking a free lane just now, or be gone again.
        if move.give_up and self._has_too_many:
            for number in self._order[-move.give_up :]:
                self._relays[number].give_up()
        self._has_too_many = move.give_up > 0
        for relay in self._relays:
            if not relay.is_held and relay.lane.number not in free:
                relay.leave_to_others()
        self._tell(LanesShared(self._store.stream, tuple(sorted(self._order)), len(self._relays), len(members)))

    def _tell(self, shared: LanesShared) -> None:
        if shared != self._told:
            self._told = shared
            self._report(shared)

    async def _try_broker(self) -> None:
        async with self._broker.publisher():
            pass


@asynccontextmanager
async def _passed_on(stop: Stop, act: Callable[[], None]) -> AsyncIterator[None]:
    """Pass a request to stop on, for the length of the block."""
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_act_at(stop, act))
        yield
        waiting.cancel()


async def _act_at(stop: Stop, act: Callable[[], None]) -> None:
    await stop.wait()
    act()


def _ignore() -> None:
    pass
