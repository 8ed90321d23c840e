"""Accept first, then acknowledge: a message leaves the queue only when its inbox row is committed.

A consumer can be dead while its channel is open: the broker has forgotten it, or another one holds the queue and takes
nothing. So whoever gets nothing asks how many messages are ready, and begins anew when some wait for too long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from outbox.inbox.arrival import arrival_of
from outbox.inbox.silence import Silence
from outbox.model.consumer_events import ConsumerSilent
from outbox.model.envelope import Message
from outbox.model.errors import Unavailable
from outbox.model.inbox import AcceptCounts, Arrival
from outbox.model.lifecycle import Accepted, Report
from outbox.supervisor import Pulse, Stop

# How long one wait for messages takes at most: the loop must turn for liveness, and to see a stop.
_WAIT_SECONDS = 0.5


class _Session(Protocol):
    """The inbox as the acceptor needs it."""

    async def register(self, lanes: int) -> int: ...
    async def accept(self, arrivals: Sequence[Arrival]) -> AcceptCounts: ...
    async def has_accepted(self, within_seconds: float) -> bool: ...


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


class Acceptor:
    """Moves one flow's messages from its queue into the inbox."""

    def __init__(
        self,
        flow: str,
        store: _Store,
        consumer: _Consumer,
        *,
        lanes: int,
        max_batch: int,
        silent_after_seconds: float,
        report: Report,
        on_accepted: Callable[[], None],
    ) -> None:
        self._flow = flow
        self._store = store
        self._consumer = consumer
        self._lanes = lanes
        self._max_batch = max_batch
        self._report = report
        self._on_accepted = on_accepted
        self._silent_after_seconds = silent_after_seconds
        self.is_silent = False

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Accept until stopped.

        Raises:
            Unavailable: the database or the broker is away, or the consumer gets nothing while messages wait.
        """
        # The database first: a message that is taken and cannot be stored costs a delivery count each time.
        async with self._store.session(self._flow) as session:
            await session.register(self._lanes)
            async with self._consumer.subscription(self._flow) as subscription:
                pulse.establish()
                silence = Silence(self._silent_after_seconds)
                while not stop.is_set():
                    pulse.beat()
                    messages = await subscription.batch(self._max_batch, wait_seconds=_WAIT_SECONDS)
                    if not messages:
                        await self._watch(silence, session, subscription)
                        continue
                    silence.end()
                    self.is_silent = False
                    counts = await session.accept([arrival_of(message) for message in messages])
                    self._on_accepted()
                    self._report(Accepted(self._flow, counts.accepted, counts.duplicates, counts.dead))
                    await subscription.acknowledge_up_to(messages[-1].tag)

    async def _watch(self, silence: Silence, session: _Session, subscription: _Subscription) -> None:
        """Look, now and then, whether messages wait that do not come."""
        if not silence.is_look_due(time.monotonic()):
            return
        ready = await subscription.ready_messages()
        silent_seconds = silence.see(ready or 0, time.monotonic())
        if silence.has_moved:
            self.is_silent = False
        if ready and silent_seconds >= self._silent_after_seconds:
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
