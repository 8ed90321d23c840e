"""Group commit: what waits at the same moment is taken in one transaction, and every answer leaves after it.

One connection takes one group after the other; while one is committed the next one gathers. What the outbox cannot
hold is refused alone: the group is taken again, request by request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from outbox.intake.problems import Problem, RefusedRequest
from outbox.model.errors import EventRefused, OutboxError, Unavailable
from outbox.model.intake import Draft, Taken
from outbox.supervisor import Pulse, Stop

# A command takes a lock of the server's table, which has room for some thousands from all sessions together.
_MAX_EVENTS = 250
_MAX_CHARACTERS = 8 * 1024 * 1024
# More would wait longer than their senders do.
_MAX_WAITING = 5000
# A connection that nobody uses may have gone long ago; the next request should not be the one to find out.
_PING_SECONDS = 5.0
_RETRY = {"Retry-After": "5"}
_RETRY_SOON = {"Retry-After": "1"}


class _Session(Protocol):
    async def take(self, drafts: Sequence[Draft], within_seconds: float) -> list[Taken]: ...
    async def ping(self, within_seconds: float) -> None: ...


class _Store(Protocol):
    def session(self) -> AbstractAsyncContextManager[_Session]: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    drafts: Sequence[Draft]
    taken: asyncio.Future[list[Taken]]


class GroupCommit:
    """A supervised service, and the way to it."""

    def __init__(self, store: _Store, *, answer_within_seconds: float) -> None:
        self._store = store
        self._within_seconds = answer_within_seconds
        self._waiting: deque[_Request] = deque()
        self._under_way: list[_Request] = []
        self._wake = asyncio.Event()
        self._is_open = False
        self._is_closed = False

    @property
    def is_open(self) -> bool:
        """Say whether the database takes what comes."""
        return self._is_open

    async def take(self, drafts: Sequence[Draft]) -> list[Taken]:
        """Return what became of the drafts; whatever is new is committed by then.

        Raises:
            RefusedRequest: the outbox cannot hold them, or the database does not take them now. In the latter case
                they may have been taken all the same, and are known when they come again.
        """
        if not self._is_open:
            raise RefusedRequest(Problem.UNAVAILABLE, headers=_RETRY)
        if len(self._waiting) >= _MAX_WAITING:
            raise RefusedRequest(Problem.BUSY, headers=_RETRY_SOON)
        loop = asyncio.get_running_loop()
        request = _Request(drafts, loop.create_future())
        # A timer costs a tenth of a time-out, which ends in a cancellation.
        timer = loop.call_later(self._within_seconds, _fail, request, Unavailable("the database", "it took too long"))
        self._waiting.append(request)
        self._wake.set()
        try:
            return await request.taken
        except EventRefused as refused:
            raise RefusedRequest(Problem.EVENT_REFUSED, refused.reason) from None
        except Unavailable:
            raise RefusedRequest(Problem.UNAVAILABLE, headers=_RETRY) from None
        finally:
            timer.cancel()

    def close(self) -> None:
        """Tell that nothing more will come."""
        self._is_closed = True
        self._wake.set()

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Take what comes until it is closed and nothing waits any more.

        Raises:
            Unavailable: the database is away; everything that waits has been told.
            AccessRefused, Misconfigured: the user may not take, or the schema is older than this program.
        """
        try:
            async with self._store.session() as session:
                # Asks for nothing, and shows that it may be asked.
                await session.take([], self._within_seconds)
                pulse.establish()
                self._is_open = True
                while self._waiting or not self._is_closed:
                    pulse.beat()
                    if self._waiting:
                        await self._take_some(session)
                        continue
                    self._wake.clear()
                    await stop.pause(_PING_SECONDS, wake=self._wake)
                    if not self._wake.is_set():
                        await session.ping(self._within_seconds)
        finally:
            self._is_open = False
            for request in (*self._under_way, *self._waiting):
                _fail(request, Unavailable("the database", "it was lost meanwhile"))
            self._under_way.clear()
            self._waiting.clear()

    async def _take_some(self, session: _Session) -> None:
        self._under_way = self._gathered()
        drafts = [draft for request in self._under_way for draft in request.drafts]
        if not drafts:
            return
        try:
            taken = await session.take(drafts, self._within_seconds)
        except EventRefused:
            for request in self._under_way:
                await self._take_alone(session, request)
        else:
            place = 0
            for request in self._under_way:
                answer = taken[place : place + len(request.drafts)]
                place += len(request.drafts)
                if not request.taken.done():
                    request.taken.set_result(answer)
        self._under_way.clear()

    def _gathered(self) -> list[_Request]:
        gathered: list[_Request] = []
        events = characters = 0
        while self._waiting:
            request = self._waiting[0]
            events += len(request.drafts)
            characters += sum(len(draft.payload) for draft in request.drafts)
            if gathered and (events > _MAX_EVENTS or characters > _MAX_CHARACTERS):
                break
            self._waiting.popleft()
            # Whoever was told that it took too long is not taken unasked.
            if not request.taken.done():
                gathered.append(request)
        return gathered

    async def _take_alone(self, session: _Session, request: _Request) -> None:
        try:
            taken = await session.take(request.drafts, self._within_seconds)
        except EventRefused as refused:
            _fail(request, refused)
        else:
            if not request.taken.done():
                request.taken.set_result(taken)


def _fail(request: _Request, error: OutboxError) -> None:
    if not request.taken.done():
        request.taken.set_exception(error)
