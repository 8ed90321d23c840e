"""Starts server processes so that they end with us, however we end. Never starts one it does not track."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from sandbox.privileges import Account, make_folder, server_account
from sandbox.processes import Process, identify
from sandbox.watchdog_process import Estate, Message, encode

_PROJECT = Path(__file__).resolve().parent.parent
_CLOSE_DEADLINE_SECONDS = 90.0


class WatchdogClosedError(Exception):
    """A server was about to start while everything is being ended."""


class Watchdog:
    """Owns a temporary folder and the processes that work in it; closing it ends both."""

    def __init__(self) -> None:
        self.folder = make_folder()
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-m", "sandbox.watchdog_process", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=_PROJECT,
            env={**os.environ, "PYTHONPATH": str(_PROJECT)},
            start_new_session=True,
            text=True,
        )
        self._lock = threading.Lock()
        self._is_closed = False
        self._estate = Estate()
        self._children: dict[int, tuple[subprocess.Popen[bytes], Process]] = {}

    @property
    def pid(self) -> int:
        """The pid of the process that watches."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(
        self,
        command: Sequence[str | Path],
        *,
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
        ask: signal.Signals = signal.SIGKILL,
        account: Account | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process as the server account, or as another; `ask` is the signal that ends it at the very end."""
        account = account or server_account()
        path = os.environ.get("PATH", os.defpath)
        # A process that starts while another thread closes would escape: it is one or the other.
        with self._lock, log.open("ab") as output:
            if self._is_closed:
                raise WatchdogClosedError
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={"PATH": path, "LC_ALL": "C.UTF-8", "TMPDIR": str(folder), **environment},
                start_new_session=True,
                user=account.user,
                group=account.group,
                extra_groups=account.extra_groups,
                umask=0o077,
            )
            identity = identify(process.pid)
            if identity is not None:
                self._children[process.pid] = (process, identity)
                self._send(["track", *identity, int(ask)])
        return process

    def forget(self, process: subprocess.Popen[bytes]) -> None:
        """Stop tracking a process that has ended."""
        with self._lock:
            tracked = self._children.pop(process.pid, None)
            if tracked is not None and not self._is_closed:
                self._send(["forget", *tracked[1]])

    def run_at_end(self, command: Sequence[str]) -> None:
        """Have a command run when everything is ended."""
        with self._lock:
            if self._is_closed:
                raise WatchdogClosedError
            self._send(["run at the end", list(command)])

    def close(self) -> None:
        """End every process and remove the folder; returns when both are gone.

        A second call removes what another thread wrote into the folder during the first.
        """
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
            children = [process for process, _ in self._children.values()]
            self._children.clear()
        if not was_closed:
            self._process.communicate(timeout=_CLOSE_DEADLINE_SECONDS)
        if was_closed or self._process.returncode != 0:
            self._estate.settle(self.folder)
        for process in children:
            process.wait()

    def _send(self, message: Message) -> None:
        self._estate.note(message)
        pipe = self._process.stdin
        # A watchdog that somebody killed is noticed in the end, when its work is done here instead.
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.write(encode(message))
                pipe.flush()
