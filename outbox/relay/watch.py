"""The watchdog: sees from outside whether committed events wait and nothing moves.

It shares nothing with the relay's loop but the database: its own connection, its own statement. So it also notices what
the loop cannot know of itself, such as a query that wrongly finds nothing to publish.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
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
    async def observe(self) -> Observation: ...


class _Store(Protocol):
    @property
    def stream(self) -> str: ...
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


class Watch:
    """A supervised service beside the relay, and a listener to what the relay tells.

    Args:
        store: opens its sessions.
        settings: how often it looks and when it speaks.
        relay: the name of the relay's service.
        reconnect: makes that relay begin anew.
        report: takes what was seen.
    """

    def __init__(
        self,
        store: _Store,
        settings: WatchSettings,
        *,
        relay: str,
        reconnect: Callable[[], None],
        report: Report,
    ) -> None:
        self._store = store
        self._settings = settings
        self._relay = relay
        self._reconnect = reconnect
        self._report = report
        self._is_blocked = False
        self._excused_until = -math.inf
        self.is_stalled = False

    def hear(self, event: Lifecycle) -> None:
        """Note what is known and told already: why nothing moves needs no alarm of ours."""
        match event:
            case PublishingBlocked():
                self._is_blocked = True
            case PublishingUnblocked():
                self._is_blocked = False
                self._excuse(0.0)
            case ServiceWaiting() if event.service == self._relay:
                self._is_blocked = False
                self._excuse(event.pause_seconds)
            case _:
                pass

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Look until stopped.

        Raises:
            Unavailable: the database is away.
        """
        standing = Standing()
        async with self._store.session() as session:
            while not stop.is_set():
                observation = await session.observe()
                pulse.establish()
                self._report(
                    StreamObserved(
                        self._store.stream,
                        observation.is_waiting,
                        observation.oldest_age_seconds,
                        observation.holder_pid,
                        observation.holder_transactions,
                        observation.holder_age_seconds,
                    )
                )
                still_seconds = standing.see(observation, time.monotonic(), is_excused=self._is_excused())
                if still_seconds >= self._settings.stalled_after_seconds:
                    self.is_stalled = True
                    self._report(Stalled(self._store.stream, still_seconds, observation.oldest_age_seconds))
                    self._reconnect()
                    # Told again only after as long a time, should beginning anew not help.
                    standing.since_seconds = time.monotonic()
                elif standing.has_moved:
                    self.is_stalled = False
                await stop.pause(self._settings.every_seconds)

    def _is_excused(self) -> bool:
        return self._is_blocked or time.monotonic() < self._excused_until

    def _excuse(self, seconds: float) -> None:
        """Give the relay this time, and then as long as events may wait."""
        self._excused_until = time.monotonic() + seconds + self._settings.stalled_after_seconds
