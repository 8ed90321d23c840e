"""Accept first, then acknowledge: a message leaves the queue only when its inbox row is committed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from outbox.inbox.arrival import arrival_of
from outbox.model.envelope import Message
from outbox.model.inbox import AcceptCounts, Arrival
from outbox.model.lifecycle import Accepted, Report
from outbox.supervisor import Pulse, Stop

# How long one wait for messages takes at most: the loop must turn for liveness, and to see a stop.
_WAIT_SECONDS = 0.5


class _Session(Protocol):
    """The inbox as the acceptor needs it."""

    async def register(self, lanes: int) -> int: ...
    async def accept(self, arrivals: Sequence[Arrival]) -> AcceptCounts: ...


class _Store(Protocol):
    """Opens sessions."""

    def session(self, flow: str) -> AbstractAsyncContextManager[_Session]: ...


class _Subscription(Protocol):
    """A consumed queue."""

    async def batch(self, max_messages: int, *, wait_seconds: float) -> list[Message]: ...
    async def acknowledge_up_to(self, tag: int) -> None: ...


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

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Accept until stopped.

        Raises:
            Unavailable: the database or the broker is away.
        """
        # The database first: a message that is taken and cannot be stored costs a delivery count each time.
        async with self._store.session(self._flow) as session:
            await session.register(self._lanes)
            async with self._consumer.subscription(self._flow) as subscription:
                pulse.establish()
                while not stop.is_set():
                    pulse.beat()
                    messages = await subscription.batch(self._max_batch, wait_seconds=_WAIT_SECONDS)
                    if not messages:
                        continue
                    counts = await session.accept([arrival_of(message) for message in messages])
                    self._on_accepted()
                    self._report(Accepted(self._flow, counts.accepted, counts.duplicates, counts.dead))
                    await subscription.acknowledge_up_to(messages[-1].tag)
