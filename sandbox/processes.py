"""Process trees on Linux, read from /proc. Never needs the right to look into another user's process."""

import os
import signal
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

_POLL_SECONDS = 0.02
_KILL_DEADLINE_SECONDS = 10.0
# Fields of /proc/PID/stat behind the parenthesised name, see proc(5).
_STATE, _PARENT, _STARTED = 0, 1, 19
_GONE_STATES = frozenset("ZX")


class Process(NamedTuple):
    """A process; the start time tells it from a later one that got the same pid."""

    pid: int
    parent: int
    started: int


def identify(pid: int) -> Process | None:
    """Read a process that is alive; a zombie is not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[_STATE] in _GONE_STATES:
        return None
    return Process(pid=pid, parent=int(fields[_PARENT]), started=int(fields[_STARTED]))


def tree(root: Process) -> list[Process]:
    """List a process and its descendants, parents first. Sessions and groups do not matter."""
    if not is_alive(root):
        return []
    running = [
        found for entry in Path("/proc").iterdir() if entry.name.isdigit() and (found := identify(int(entry.name)))
    ]
    members = [root]
    for member in members:
        members += [process for process in running if process.parent == member.pid]
    return members


def is_alive(process: Process) -> bool:
    """Say whether it still runs."""
    current = identify(process.pid)
    return current is not None and current.started == process.started


def end_tree(root: Process, *, ask: signal.Signals, patience_seconds: float) -> None:
    """Ask a process to end, and kill what is left of its tree when the patience is over."""
    members = tree(root)
    if ask != signal.SIGKILL:
        _send(root, ask)
        _wait_gone(members, seconds=patience_seconds)
    kill_tree(root, also=members)


def kill_tree(root: Process, *, also: Collection[Process] = ()) -> None:
    """Kill a process with its descendants.

    PostgreSQL and Erlang put their children into sessions of their own, so no process group has them all.
    """
    _send(root, signal.SIGSTOP)  # it cannot start another child while its children are counted
    members = [*tree(root), *also]
    for member in members:
        _send(member, signal.SIGKILL)
    _wait_gone(members, seconds=_KILL_DEADLINE_SECONDS)


def _send(process: Process, what: signal.Signals) -> None:
    if is_alive(process):
        try:
            os.kill(process.pid, what)
        except ProcessLookupError:
            return


def _wait_gone(members: Collection[Process], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while any(map(is_alive, members)) and time.monotonic() < deadline:
        pause.wait(_POLL_SECONDS)
