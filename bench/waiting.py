"""Waiting for what can only be looked at. It must never wait without a bound."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

_LOOK_EVERY_SECONDS = 0.02


async def rest(seconds: float) -> None:
    """Let time pass."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


async def becomes_true(look: Callable[[], Awaitable[bool]], *, within_seconds: float) -> bool:
    """Look until it is so; False when the time is over."""
    deadline = time.monotonic() + within_seconds
    while not await look():
        if time.monotonic() > deadline:
            return False
        await rest(_LOOK_EVERY_SECONDS)
    return True
