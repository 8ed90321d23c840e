"""Stops a process where it is."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.kit.waiting import until


async def freeze(pid: int) -> None:
    """Stop every thread with SIGSTOP: none runs an instruction any more when this returns."""
    os.kill(pid, signal.SIGSTOP)

    async def is_frozen() -> bool:
        return _states(pid) == {"T"}

    await until(is_frozen, what=f"process {pid} is frozen")


def _states(pid: int) -> set[str]:
    stats = [(thread / "stat").read_text(encoding="utf-8") for thread in Path(f"/proc/{pid}/task").iterdir()]
    # Behind the parenthesised name, see proc(5).
    return {stat.rpartition(")")[2].split()[0] for stat in stats}
