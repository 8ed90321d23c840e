"""The watchdog: sees from outside whether committed events wait and nothing moves.

It shares nothing with the relay's loop but the database: its own connection, its own statement. So it also notices what
the loop cannot know of itself, such as a query that wrongly finds nothing to publish.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from outbox.model.cursor import Observation
from outbox.model.lifecycle import (
    Lifecycle,
    PublishingBlocked,
    PublishingUnblocked,
    Report,
    ServiceWaiting,
    Stalled,
    StreamObserved,
)
from outbox.supervisor import Pulse, Stop


class _Session(Protocol):
    async def observe(self, stream: str) -> Observation: ...


class _Store(Protocol):
    def session(self) -> AbstractAsyncContextManager[_Session]: ...


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """``stalled_after_seconds``: how long events may wait without any of them being published."""

    every_seconds: float
    stalled_after_seconds: float


@dataclass(slots=True)
class Standing:
    """How long the cursor has stood still while events waited. Pure: the caller brings the time."""

    cursor_state: str | None = None
    since_seconds: float = 0.0
    has_moved: bool = True

    def see(self, observation: Observation, now_seconds: float, *, is_excused: bool) -> float:
        """Return for how many seconds nothing has moved although something should have."""
        self.has_moved = observation.cursor_state != self.cursor_state or not observation.is_waiting
        if self.has_moved or is_excused:
            self.cursor_state = observation.cursor_state
            self.since_seconds = now_seconds
        return now_seconds - self.since_seconds


@dataclass(slots=True)
class Watched:
    """A stream or one of its lanes, and what is known of its relay in this process.

    ``services``: while one of these waits, nothing can move; ``reconnect`` makes the relay begin anew.
    """

    stream: str
    services: Sequence[str]
    reconnect: Callable[[], None]
    is_stalled: bool = False
    is_blocked: bool = False
    excused_until: float = -math.inf
    standing: Standing = field(default_factory=Standing)

    def is_excused(self) -> bool:
        """Say whether it is known and told already why nothing moves."""
        return self.is_blocked or time.monotonic() < self.excused_until


class Watch:
    """A supervised service beside the relays, and a listener to what they tell.

    Args:
        store: opens its sessions.
        settings: how often it looks and when it speaks.
        watched: what it looks at, each by itself: a lane that moves hides none that does not.
        report: takes what was seen.
    """

    def __init__(self, store: _Store, settings: WatchSettings, watched: Sequence[Watched], report: Report) -> None:
        self._store = store
        self._settings = settings
        self._watched = watched
        self._report = report

    @property
    def is_stalled(self) -> bool:
        """Whether anything that it watches stands still without a known reason."""
        return any(one.is_stalled for one in self._watched)

    def hear(self, event: Lifecycle) -> None:
        """Note what is known and told already: why nothing moves needs no alarm of ours."""
        for one in self._watched:
            match event:
                case PublishingBlocked() if event.stream in (None, one.stream):
                    one.is_blocked = True
                case PublishingUnblocked() if event.stream in (None, one.stream):
                    one.is_blocked = False
                    self._excuse(one, 0.0)
                case ServiceWaiting() if event.service in one.services:
                    one.is_blocked = False
                    self._excuse(one, event.pause_seconds)
                case _:
                    pass

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Look until stopped.

        Raises:
            Unavailable: the database is away.
            SettingsOutdated: the number of lanes was changed.
        """
        for one in self._watched:
            one.standing = Standing()
        async with self._store.session() as session:
            while not stop.is_set():
                for one in self._watched:
                    self._judge(one, await session.observe(one.stream))
                    pulse.establish()
                await stop.pause(self._settings.every_seconds)

    def _judge(self, one: Watched, observation: Observation) -> None:
        self._report(
            StreamObserved(
                one.stream,
                observation.is_waiting,
                observation.oldest_age_seconds,
                observation.holder_pid,
                observation.holder_transactions,
                observation.holder_age_seconds,
            )
        )
        still_seconds = one.standing.see(observation, time.monotonic(), is_excused=one.is_excused())
        if still_seconds >= self._settings.stalled_after_seconds:
            one.is_stalled = True
            self._report(Stalled(one.stream, still_seconds, observation.oldest_age_seconds))
            one.reconnect()
            # Told again only after as long a time, should beginning anew not help.
            one.standing.since_seconds = time.monotonic()
        elif one.standing.has_moved:
            one.is_stalled = False

    def _excuse(self, one: Watched, seconds: float) -> None:
        """Give the relay this time, and then as long as events may wait."""
        one.excused_until = time.monotonic() + seconds + self._settings.stalled_after_seconds
