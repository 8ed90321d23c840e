"""Waiting for a condition over state that synchronous code changes. It must never wait without a bound."""

import asyncio
from collections.abc import Callable


class ClosedError(Exception):
    """The thing that was waited for has been closed, so the condition cannot come true any more."""


class Changes:
    """Wakes those who wait for a condition whenever something has changed."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._is_closed = False

    def notify(self) -> None:
        """Let every condition be looked at again."""
        self._changed.set()

    def close(self) -> None:
        """Turn away those who wait, and those who come."""
        self._is_closed = True
        self._changed.set()

    async def until(self, is_true: Callable[[], bool], *, within_seconds: float) -> None:
        """Wait for the condition; ``TimeoutError`` after the bound, ``ClosedError`` after ``close``."""
        async with asyncio.timeout(within_seconds):
            while not is_true():
                if self._is_closed:
                    raise ClosedError
                self._changed.clear()
                await self._changed.wait()
