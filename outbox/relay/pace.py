"""Waits that are as long as the other side needs, while the loop still shows that it turns."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from outbox.supervisor import Pulse

_Result = TypeVar("_Result")

_BEAT_SECONDS = 5.0


async def finished(task: asyncio.Task[_Result], pulse: Pulse) -> _Result:
    """Return the result of a task of the caller's group, however long it takes."""
    while not (await asyncio.wait((task,), timeout=_BEAT_SECONDS))[0]:
        pulse.beat()
    return await task
