"""One server process: start it, wait until it is ready, stop it, kill it. Knows no particular server."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.privileges import Account
from sandbox.processes import end_tree, identify, kill_tree
from sandbox.watchdog import Watchdog

PORT_ATTEMPTS = 3

_POLL_SECONDS = 0.05
_LOG_TAIL_LINES = 25
_PORT_TAKEN_MARKS = ("eaddrinuse", "address already in use")


class PortTakenError(SandboxError):
    """Another process was faster to take the port that was free a moment ago."""


class ServerProcess:
    """A process with its folder and its logs."""

    def __init__(self, name: str, *, watchdog: Watchdog, folder: Path, logs: Sequence[Path] = ()) -> None:
        self.name = name
        self.folder = folder
        self._watchdog = watchdog
        self._output = folder / "output.log"
        self._logs = (self._output, *logs)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The pid while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(
        self,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        ask: signal.Signals,
        is_ready: Callable[[int], bool],
        deadline_seconds: float,
        account: Account | None = None,
    ) -> None:
        """Start it, as the server account unless another is given, and return when it is ready."""
        if self.pid is not None:
            raise RuntimeError(f"{self.name} runs already")
        log_position = self._log_position()
        process = self._watchdog.start(
            command, folder=self.folder, environment=environment, log=self._output, ask=ask, account=account
        )
        self._process = process
        deadline = time.monotonic() + deadline_seconds
        while not is_ready(process.pid):
            if self._has_ended(process):
                self._watchdog.forget(process)
                if self._is_port_taken(log_position):
                    raise PortTakenError(f"{self.name}: a port was taken meanwhile", next_step="start again")
                raise self._failure(f"{self.name} ended with exit code {process.returncode} while starting")
            if time.monotonic() > deadline:
                self.kill()
                raise self._failure(f"{self.name} was not ready within {deadline_seconds:.0f} s")

    def stop(self, ask: signal.Signals, *, patience_seconds: float) -> None:
        """Ask it to stop with its data in order; a process that does not listen is killed."""
        process = self._process
        if process is None:
            return
        identity = identify(process.pid)
        if identity is not None:
            end_tree(identity, ask=ask, patience_seconds=patience_seconds)
        process.wait()
        self._watchdog.forget(process)

    def kill(self) -> None:
        """End it with all its children at once, as a power cut would."""
        process = self._process
        if process is None:
            return
        identity = identify(process.pid)
        if identity is not None:
            kill_tree(identity)
        process.wait()
        self._watchdog.forget(process)

    def log_tail(self) -> str:
        """Return the last lines of every log, for an error message."""
        return "\n".join(
            f"--- {log.name} ---\n" + "\n".join(_read(log).splitlines()[-_LOG_TAIL_LINES:])
            for log in self._logs
            if log.exists()
        )

    def _has_ended(self, process: subprocess.Popen[bytes]) -> bool:
        try:
            process.wait(timeout=_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _failure(self, problem: str) -> SandboxError:
        return SandboxError(f"{problem}; its log ends with\n{self.log_tail()}", next_step="read the log above")

    def _log_position(self) -> dict[Path, int]:
        return {log: len(_read(log)) for log in self._logs if log.exists()}

    def _is_port_taken(self, since: Mapping[Path, int]) -> bool:
        written = "".join(_read(log)[since.get(log, 0) :] for log in self._logs if log.exists()).lower()
        return any(mark in written for mark in _PORT_TAKEN_MARKS)


def _read(log: Path) -> str:
    return log.read_text(errors="replace")
