"""The watchdog's own process: when its input ends, it ends the servers it knows of and removes their folder.

The input is a pipe that only the owner of the servers holds open: it ends however the owner ends, even by
SIGKILL. Standard library only: it must start in milliseconds.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.processes import Process, end_tree, is_alive

_PATIENCE_SECONDS = 5.0
_COMMAND_DEADLINE_SECONDS = 60.0

Message = Sequence[str | int | list[str]]


@dataclass(slots=True)
class Estate:
    """What is left behind when the owner is gone."""

    servers: dict[Process, signal.Signals] = field(default_factory=dict)
    terminals: set[Process] = field(default_factory=set)
    commands: list[list[str]] = field(default_factory=list)

    def note(self, message: Message) -> None:
        """Take one message of the owner."""
        match message:
            case ["track", int(pid), int(parent), int(started), int(ask)]:
                self.servers[Process(pid, parent, started)] = signal.Signals(ask)
            case ["track terminal", int(pid), int(parent), int(started)]:
                self.terminals.add(Process(pid, parent, started))
            case ["forget", int(pid), int(parent), int(started)]:
                self.servers.pop(Process(pid, parent, started), None)
                self.terminals.discard(Process(pid, parent, started))
            case ["run at the end", list(command)]:
                self.commands.append(command)
            case unknown:
                raise ValueError(f"the watchdog does not know the message {unknown!r}")

    def settle(self, folder: Path) -> None:
        """End everything, newest first, and remove the folder.

        What runs in a terminal has processes of its own to end: it is interrupted as by Ctrl-C, and not waited for.
        """
        for leader in self.terminals:
            if is_alive(leader):
                os.killpg(leader.pid, signal.SIGINT)
        for server, ask in reversed(self.servers.items()):
            end_tree(server, ask=ask, patience_seconds=_PATIENCE_SECONDS)
        for command in self.commands:
            subprocess.run(command, capture_output=True, timeout=_COMMAND_DEADLINE_SECONDS, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def encode(message: Message) -> str:
    """Write a message as the line that goes through the pipe."""
    return json.dumps(message) + "\n"


def watch(lines: Iterable[str], folder: Path) -> None:
    """Take messages until the owner is gone, then settle."""
    estate = Estate()
    for line in lines:
        # A line without its end is a message that the owner's death cut off.
        if line.endswith("\n"):
            estate.note(json.loads(line))
    estate.settle(folder)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    watch(sys.stdin, Path(sys.argv[1]))
