"""The programs of the demo, as a user starts them: processes of their own, gone when the demo is gone."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from sandbox.binaries import PROJECT
from sandbox.processes import Process, identify
from sandbox.watchdog_process import Message, encode

_CLOSE_DEADLINE_SECONDS = 30.0
_LOG_TAIL_LINES = 15
_SIDECAR_VARIABLES = "OUTBOX_"


class ProgramFailedError(Exception):
    """A program did what it must not; the text ends with the tail of its log."""

    def __init__(self, problem: str, log_tail: str) -> None:
        super().__init__(f"{problem}; its log ends with\n{log_tail}")
        self.problem = problem


class Leash:
    """A temporary folder, and processes that end with this one even if it is killed.

    The private servers have a watchdog of their own. That one starts what it watches as another user when it is
    root, and another user may not reach the sidecar's installation; here a process is started first, then watched.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="outbox-demo-"))
        self._keeper = subprocess.Popen(
            [sys.executable, "-S", "-m", "sandbox.watchdog_process", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            start_new_session=True,
            text=True,
        )
        self._tracked: dict[int, Process] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.communicate(timeout=_CLOSE_DEADLINE_SECONDS)
        # The keeper has removed it, unless somebody killed the keeper.
        shutil.rmtree(self.folder, ignore_errors=True)

    def track(self, pid: int) -> None:
        """End this process with us."""
        identity = identify(pid)
        if identity is not None:
            self._tracked[pid] = identity
            self._send(["track", *identity, int(signal.SIGKILL)])

    def track_terminal(self, leader: int) -> None:
        """Interrupt a whole process group with us, as Ctrl-C does; its processes end what they have started."""
        identity = identify(leader)
        if identity is not None:
            self._tracked[leader] = identity
            self._send(["track terminal", *identity])

    def forget(self, pid: int) -> None:
        """Leave a process alone that has ended."""
        identity = self._tracked.pop(pid, None)
        if identity is not None:
            self._send(["forget", *identity])

    def _send(self, message: Message) -> None:
        pipe = self._keeper.stdin
        # A keeper that somebody killed is no reason to fail: the demo ends its programs itself.
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.write(encode(message))
                pipe.flush()


class Program:
    """One command; it may run several times in a row, and all its runs write one log."""

    def __init__(
        self, name: str, command: Sequence[str | Path], *, variables: Mapping[str, str], folder: Path, leash: Leash
    ) -> None:
        self.name = name
        self.log = folder / f"{name.replace(' --', '-').replace(' ', '-')}.log"
        self._command = command
        # What the caller's shell says of another sidecar must not reach this one.
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(_SIDECAR_VARIABLES)}
        self._environment = {**inherited, "PYTHONPATH": str(PROJECT), **variables}
        self._folder = folder
        self._leash = leash
        self._process: asyncio.subprocess.Process | None = None
        self._is_wanted = False

    @property
    def pid(self) -> int:
        """The pid of the latest run."""
        return self._running().pid

    async def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            await self._start(stdout=log)

    async def start_and_read_line(self, *, within_seconds: float) -> bytes:
        """Start it, and return the first line of its output, which says that it is ready."""
        process = await self._start(stdout=asyncio.subprocess.PIPE)
        if process.stdout is None:
            raise RuntimeError("a pipe was asked for")
        try:
            async with asyncio.timeout(within_seconds):
                line = await process.stdout.readline()
        except TimeoutError as error:
            raise self._failure(f"{self.name} was not ready within {within_seconds:.0f} s") from error
        if not line:
            raise self._failure(f"{self.name} ended while starting")
        return line

    def require_running(self) -> None:
        """Complain if it has ended although nobody asked it to."""
        if self._is_wanted and self._process is not None and self._process.returncode is not None:
            raise self._failure(f"{self.name} ended by itself with exit code {self._process.returncode}")

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._running().send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        self._is_wanted = False
        process = self._running()
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        self._leash.forget(process.pid)

    async def stop(self, *, within_seconds: float) -> None:
        """SIGTERM; it must end in order, with exit code 0."""
        self._is_wanted = False
        process = self._running()
        with suppress(ProcessLookupError):
            process.terminate()
        await self._require_success(process, within_seconds, "after SIGTERM")

    async def run(self, *, within_seconds: float) -> None:
        """Start it and wait for its end, with exit code 0."""
        await self.start()
        await self.wait(within_seconds=within_seconds)

    async def wait(self, *, within_seconds: float) -> None:
        """Wait for its end, with exit code 0."""
        self._is_wanted = False
        await self._require_success(self._running(), within_seconds, "")

    async def end(self) -> None:
        """Kill it if it runs."""
        if self._process is not None:
            await self.kill()

    def log_tail(self) -> str:
        """Return the end of its log."""
        if not self.log.exists():
            return "(nothing)"
        with self.log.open(encoding="utf-8", errors="replace") as lines:
            return "".join(deque(lines, maxlen=_LOG_TAIL_LINES)).rstrip() or "(nothing)"

    async def _start(self, *, stdout: IO[bytes] | int) -> asyncio.subprocess.Process:
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stdout,
                stderr=log,
                cwd=self._folder,
                env=self._environment,
                # Ctrl-C is for the demo, which ends its programs in order.
                start_new_session=True,
            )
        self._leash.track(process.pid)
        self._process, self._is_wanted = process, True
        return process

    async def _require_success(self, process: asyncio.subprocess.Process, within_seconds: float, when: str) -> None:
        try:
            async with asyncio.timeout(within_seconds):
                code = await process.wait()
        except TimeoutError as error:
            raise self._failure(f"{self.name} had not ended {within_seconds:.0f} s {when}".rstrip()) from error
        self._leash.forget(process.pid)
        if code != 0:
            raise self._failure(f"{self.name} ended with exit code {code} {when}".rstrip())

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process

    def _failure(self, problem: str) -> ProgramFailedError:
        return ProgramFailedError(problem, self.log_tail())


def outbox_command(*arguments: str) -> list[str | Path]:
    """Return the command line of the sidecar that is installed beside this Python."""
    return [Path(sys.executable).with_name("outbox"), *arguments]
