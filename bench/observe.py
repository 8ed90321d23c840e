"""What a drain looks like from outside: the count of the queue, and what the kernel says of the process.

The same for every contender; none of them is asked.
"""

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bench.waiting import rest

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat behind the parenthesised name, see proc(5).
_STATE, _USER_TIME, _SYSTEM_TIME = 0, 11, 12


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far: CPU time, resident memory now and at its highest."""

    cpu_seconds: float
    resident_mb: float
    peak_resident_mb: float


@dataclass(frozen=True, slots=True)
class Drained:
    """What was seen from the last look at the empty queue to the last message.

    ``cpu_seconds`` was used for ``cpu_events``: of a process that ends with its work, the last look may come too late.
    """

    arrived: int
    seconds: float
    cpu_seconds: float
    cpu_events: int
    peak_resident_mb: float
    first_message_seconds: float

    @property
    def events_per_second(self) -> float:
        """Return the rate; 0 when nothing came."""
        return self.arrived / self.seconds if self.seconds > 0 else 0.0

    @property
    def cpu_microseconds_per_event(self) -> float:
        """Return the CPU time of one event; 0 when nothing came."""
        return self.cpu_seconds / self.cpu_events * 1e6 if self.cpu_events else 0.0


def usage_of(pid: int) -> Usage | None:
    """Ask the kernel; None once the process has ended."""
    folder = Path("/proc") / str(pid)
    try:
        stat = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        status = (folder / "status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return None
    kilobytes = {
        name: int(value.split()[0])
        for name, _, value in (line.partition(":") for line in status.splitlines())
        if name in {"VmRSS", "VmHWM"}
    }
    if stat[_STATE] in "ZX" or "VmHWM" not in kilobytes:
        return None
    cpu_seconds = (int(stat[_USER_TIME]) + int(stat[_SYSTEM_TIME])) / _TICKS_PER_SECOND
    return Usage(cpu_seconds, kilobytes["VmRSS"] / 1024, kilobytes["VmHWM"] / 1024)


async def watch(
    count: Callable[[], Awaitable[int]],
    pid: int,
    *,
    until_arrived: int,
    within_seconds: float,
    look_every_seconds: float = 0.005,
) -> Drained:
    """Look until that many messages are in the queue, or the process has ended, or the time is over."""
    begun = time.monotonic()
    arrived, empty_at, arrived_at, first_at = 0, begun, begun, begun
    idle = usage_of(pid) or Usage(0.0, 0.0, 0.0)
    latest, counted_at_latest = idle, 0
    while True:
        usage = usage_of(pid)
        seen = await count()
        now = time.monotonic()
        if usage is not None:
            latest, counted_at_latest = usage, seen
        if seen == 0:
            empty_at, idle = now, latest
        elif seen != arrived:
            first_at = now if arrived == 0 else first_at
            arrived, arrived_at = seen, now
        if arrived >= until_arrived or usage is None or now - begun > within_seconds:
            break
        await rest(look_every_seconds)
    return Drained(
        arrived=arrived,
        seconds=arrived_at - empty_at,
        cpu_seconds=latest.cpu_seconds - idle.cpu_seconds,
        cpu_events=counted_at_latest,
        peak_resident_mb=latest.peak_resident_mb,
        first_message_seconds=first_at - begun,
    )
