"""Tells people over one channel what is new to them: claimed, sent, noted, in this order.

Whoever claims a route is its only writer for as long as the lease, and sends outside of any transaction. Killed before
the sending, another process tells it when the lease is over; killed after it, before the note, the same is told once
more.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from outbox.alerts.undelivered import Undelivered
from outbox.model.alert_events import NoticeFailed, NoticeSent
from outbox.model.backoff import Backoff
from outbox.model.lifecycle import Report
from outbox.model.notices import Claim, Kind, Message, compose
from outbox.supervisor import Pulse, Stop

# 30 s, 1, 2, 4, 8 min, then every quarter of an hour: a chat that is down for a night gets forty calls.
FAILED_BACKOFF = Backoff(first_seconds=30.0, max_seconds=900.0)
# What a person reads; the rest follows in the next message.
_MOST_ALERTS = 50
# Beyond what sending may take: for the statements around it.
_LEASE_MARGIN_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often people are told; see `outbox.config.alerts`."""

    wait_seconds: float
    every_seconds: float
    repeat_seconds: float
    check_every_seconds: float


class Sender(Protocol):
    """A channel."""

    async def send(self, message: Message, recipients: Sequence[str]) -> int:
        """Send it, and return how many recipients were refused while others were not. Raises Undelivered."""
        ...


class NoticeSession(Protocol):
    """The notices in the database."""

    async def claim(
        self, channel: str, *, wait_seconds: float, repeat_seconds: float, lease_seconds: float, most: int
    ) -> Claim | None:
        """Take a route that is to be told something; None: there is none now."""
        ...

    async def end(self, claim: Claim, every_seconds: float) -> bool:
        """Note what was told; False: another process took the route meanwhile."""
        ...

    async def fail(self, claim: Claim, reason: str, pause_seconds: float) -> bool:
        """Note that nothing was told, and when that is tried again; False as with `end`."""
        ...


class NoticeStore(Protocol):
    """Opens sessions."""

    def session(self) -> AbstractAsyncContextManager[NoticeSession]:
        """Open one for the length of the block."""
        ...


class Teller:
    """A supervised service: one channel, so that one that hangs holds up no other. Several processes may run it."""

    def __init__(
        self,
        channel: str,
        sender: Sender,
        store: NoticeStore,
        rhythm: Rhythm,
        *,
        send_seconds: float,
        report: Report,
    ) -> None:
        self._channel = channel
        self._sender = sender
        self._store = store
        self._rhythm = rhythm
        self._lease_seconds = send_seconds + _LEASE_MARGIN_SECONDS
        self._report = report

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Look until stopped whether something is to be told.

        Raises:
            Unavailable: the database is away.
        """
        # A process does its work also where nobody can be told of it: nothing that is wrong here ends it.
        pulse.establish()
        while not stop.is_set():
            pulse.beat()
            async with self._store.session() as session:
                while not stop.is_set() and await self._tell(session):
                    pulse.beat()
            await stop.pause(self._rhythm.check_every_seconds)

    async def _tell(self, session: NoticeSession) -> bool:
        """Tell one route what is new to it; False when there is none now."""
        claim = await session.claim(
            self._channel,
            wait_seconds=self._rhythm.wait_seconds,
            repeat_seconds=self._rhythm.repeat_seconds,
            lease_seconds=self._lease_seconds,
            most=_MOST_ALERTS,
        )
        if claim is None:
            return False
        try:
            refused = await self._sender.send(compose(claim.notices), claim.recipients)
        except Undelivered as error:
            failures = claim.failures + 1
            pause_seconds = FAILED_BACKOFF.delay_seconds(failures, random.random())  # noqa: S311 - jitter, no secret
            await session.fail(claim, error.reason, pause_seconds)
            self._report(NoticeFailed(self._channel, error.reason, failures, pause_seconds))
            return True
        is_noted = await session.end(claim, self._rhythm.every_seconds)
        over = sum(one.kind is Kind.OVER for one in claim.notices)
        self._report(NoticeSent(self._channel, len(claim.notices) - over, over, refused, is_repeated=not is_noted))
        return True
