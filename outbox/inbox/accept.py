"""Accept first, then acknowledge: a message leaves the queue only when its inbox row is committed.

A consumer can be dead while its channel is open: the broker has forgotten it, or another one holds the queue and takes
nothing. So whoever gets nothing asks how many messages are ready, and begins anew when some wait for too long.

When the target is slower than the queue, the queue keeps what would otherwise only wait in the inbox.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from outbox.inbox.arrival import arrival_of
from outbox.inbox.room import Room
from outbox.inbox.silence import Silence
from outbox.model.consumer_events import ConsumerSilent, IntakePaused, IntakeResumed
from outbox.model.dead_copies import Redriven
from outbox.model.envelope import Message
from outbox.model.errors import Unavailable
from outbox.model.inbox import AcceptCounts, Arrival
from outbox.model.lifecycle import Accepted, Report
from outbox.supervisor import Pulse, Stop

# How long one wait for messages takes at most: the loop must turn for liveness, and to see a stop.
_WAIT_SECONDS = 0.5
# How often is looked whether there is room again.
_ROOM_SECONDS = 0.5


class _Session(Protocol):
    """The inbox as the acceptor needs it."""

    async def register(self, lanes: int) -> int: ...
    async def accept(self, arrivals: Sequence[Arrival]) -> AcceptCounts: ...
    async def has_accepted(self, within_seconds: float) -> bool: ...
    async def waiting(self, count_up_to: int) -> int: ...


class _Store(Protocol):
    """Opens sessions."""

    def session(self, flow: str) -> AbstractAsyncContextManager[_Session]: ...


class _Subscription(Protocol):
    """A consumed queue."""

    async def batch(self, max_messages: int, *, wait_seconds: float) -> list[Message]: ...
    async def acknowledge_up_to(self, tag: int) -> None: ...
    async def ready_messages(self) -> int | None: ...


class _Consumer(Protocol):
    """Opens subscriptions."""

    def subscription(self, flow: str) -> AbstractAsyncContextManager[_Subscription]: ...


@dataclass(frozen=True, slots=True)
class AcceptorSettings:
    """How one flow's messages are taken by one process.

    ``max_waiting``: deliveries that may wait for a call, before the queue keeps the rest.
    """

    lanes: int
    max_batch: int
    max_waiting: int
    silent_after_seconds: float


class Acceptor:
    """Moves one flow's messages from its queue into the inbox."""

    def __init__(
        self,
        flow: str,
        store: _Store,
        consumer: _Consumer,
        settings: AcceptorSettings,
        *,
        report: Report,
        on_accepted: Callable[[], None],
    ) -> None:
        self._flow = flow
        self._store = store
        self._consumer = consumer
        self._settings = settings
        self._room = Room(settings.max_waiting)
        self._report = report
        self._on_accepted = on_accepted
        self.is_silent = False

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Accept until stopped.

        Raises:
            Unavailable: the database or the broker is away, or the consumer gets nothing while messages wait.
        """
        # The database first: a message that is taken and cannot be stored costs a delivery count each time.
        async with self._store.session(self._flow) as session:
            await session.register(self._settings.lanes)
            while not stop.is_set():
                await self._wait_for_room(session, stop, pulse)
                async with self._consumer.subscription(self._flow) as subscription:
                    pulse.establish()
                    await self._take(session, subscription, stop, pulse)

    async def _take(self, session: _Session, subscription: _Subscription, stop: Stop, pulse: Pulse) -> None:
        """Move messages until stopped, or until there is no room for more."""
        silence = Silence(self._settings.silent_after_seconds)
        while not stop.is_set():
            pulse.beat()
            messages = await subscription.batch(self._settings.max_batch, wait_seconds=_WAIT_SECONDS)
            if not messages:
                await self._watch(silence, session, subscription)
                continue
            silence.end()
            self.is_silent = False
            counts = await session.accept([arrival_of(message, self._flow) for message in messages])
            self._on_accepted()
            self._report(Accepted(self._flow, counts.accepted, counts.duplicates, counts.dead, counts.skipped))
            if counts.redriven or counts.kept_dead:
                self._report(Redriven(self._flow, counts.redriven, counts.kept_dead))
            await subscription.acknowledge_up_to(messages[-1].tag)
            if self._room.is_look_due(counts.accepted) and self._room.see(await session.waiting(self._room.most)):
                # What is held back goes back into the queue, in order: unacknowledged messages would time out.
                self._report(IntakePaused(self._flow, self._room.waiting))
                return

    async def _wait_for_room(self, session: _Session, stop: Stop, pulse: Pulse) -> None:
        was_full = self._room.is_full
        while self._room.see(await session.waiting(self._room.most)) and not stop.is_set():
            pulse.beat()
            await stop.pause(_ROOM_SECONDS)
        if was_full and not self._room.is_full:
            self._report(IntakeResumed(self._flow, self._room.waiting))

    async def _watch(self, silence: Silence, session: _Session, subscription: _Subscription) -> None:
        """Look, now and then, whether messages wait that do not come."""
        if not silence.is_look_due(time.monotonic()):
            return
        ready = await subscription.ready_messages()
        silent_seconds = silence.see(ready or 0, time.monotonic())
        if silence.has_moved:
            self.is_silent = False
        if ready and silent_seconds >= self._settings.silent_after_seconds:
            if await session.has_accepted(silent_seconds):
                # Another process is the queue's active consumer, and messages arrive faster than it takes them.
                silence.end()
                self.is_silent = False
                return
            self.is_silent = True
            self._report(ConsumerSilent(self._flow, ready, silent_seconds))
            raise Unavailable(
                f"the consumer of {self._flow}", f"messages wait in its queue ({ready}) and none is delivered"
            )
