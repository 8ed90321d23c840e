"""Waiting for what can only be looked at: until a deadline, with a short rest between two looks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_REST_SECONDS = 0.02


async def rest(seconds: float) -> None:
    """Let time pass. Only for a moment that is meant to be random, and between two looks."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


async def until(look: Callable[[], Awaitable[T]], *, what: str, within_seconds: float = 30.0) -> T:
    """Look until something is there, and return it."""
    seen: T | None = None
    try:
        async with asyncio.timeout(within_seconds):
            while not (seen := await look()):
                await rest(_REST_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {within_seconds:g} s: {what}; last seen: {seen!r}") from None
    return seen
