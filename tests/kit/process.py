"""One real process, of the sidecar or of a service beside it: signals to it, and what it writes to its log."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sandbox.changes import Changes
from tests.kit.forked import Forked, fork
from tests.kit.freezing import freeze

_KILL_SECONDS = 10.0
_LINES_SHOWN = 25

Line = Mapping[str, Any]


class Process(asyncio.SubprocessProtocol):
    """Keeps every line of the log. Make one with `Process.start`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: list[Line] = []
        self.garbage: list[str] = []
        self._rest = b""
        self._is_read = False
        self._changes = Changes()
        self._transport: asyncio.SubprocessTransport | Forked | None = None

    @classmethod
    async def start(
        cls,
        name: str,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        folder: Path,
        command: Sequence[str] | None = None,
    ) -> Process:
        """Start a command, unless told otherwise ``outbox``; the caller ends it with `kill` or `ask_to_end`."""
        process = cls(name)
        if command is None:
            await process._fork(arguments, env, folder)
            return process
        await asyncio.get_running_loop().subprocess_exec(
            lambda: process,
            *command,
            *arguments,
            env=dict(env),
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        return process

    async def _fork(self, arguments: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        ours, theirs = os.pipe()
        nothing = os.open(os.devnull, os.O_WRONLY)
        try:
            log = os.fdopen(ours, "rb", buffering=0)
            await asyncio.get_running_loop().connect_read_pipe(lambda: _Log(self), log)
            self._transport = await fork(
                arguments, env=env, folder=folder, stdout=nothing, stderr=theirs, at_end=self._changes.notify
            )
        finally:
            os.close(nothing)
            os.close(theirs)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:  # noqa: ARG002 - there is one pipe
        assert isinstance(data, bytes)
        # What a killed process leaves of its last line is not a line.
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line.decode())
        self._changes.notify()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the exit code tells more
        self._is_read = True
        self._changes.notify()

    @property
    def pid(self) -> int:
        transport = self._open()
        return transport.pid if isinstance(transport, Forked) else transport.get_pid()

    @property
    def is_running(self) -> bool:
        return not self._has_ended

    def mark(self) -> int:
        """Return where the log is now, for ``since``."""
        return len(self.lines)

    def find(self, event: str, *, since: int = 0, **fields: object) -> list[Line]:
        """Return the lines of an event that have these fields."""
        return [
            line
            for line in self.lines[since:]
            if line["event"] == event and all(line.get(name) == value for name, value in fields.items())
        ]

    async def logged(self, event: str, *, since: int = 0, within_seconds: float = 30.0, **fields: object) -> Line:
        """Wait for a line and return it."""
        with suppress(TimeoutError):
            await self._changes.until(
                lambda: self._has_ended or bool(self.find(event, since=since, **fields)), within_seconds=within_seconds
            )
        found = self.find(event, since=since, **fields)
        assert found, f"{self.name} did not log {event!r} {fields or ''}\n{self.tail()}"
        return found[0]

    async def kill(self) -> None:
        """End it with SIGKILL; nothing of it runs any more when this returns."""
        if not self._has_ended:
            self._open().send_signal(signal.SIGKILL)
        await self.ended(within_seconds=_KILL_SECONDS)

    async def freeze(self) -> None:
        """Stop it with SIGSTOP: it runs no instruction from now on, and its connections stay open."""
        await freeze(self.pid)

    def thaw(self) -> None:
        """Let it go on where it was."""
        self._open().send_signal(signal.SIGCONT)

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        self._open().send_signal(signal.SIGTERM)

    def hang_up(self) -> None:
        """Send SIGHUP."""
        self._open().send_signal(signal.SIGHUP)

    async def ended(self, *, within_seconds: float = 30.0) -> int:
        """Wait for its end and return the exit code; a signal's number is negative."""
        try:
            await self._changes.until(lambda: self._has_ended, within_seconds=within_seconds)
        except TimeoutError:
            raise AssertionError(f"{self.name} did not end\n{self.tail()}") from None
        transport = self._open()
        code = transport.returncode if isinstance(transport, Forked) else transport.get_returncode()
        assert code is not None
        transport.close()
        return code

    @property
    def _has_ended(self) -> bool:
        return self._is_read and (not isinstance(self._transport, Forked) or self._transport.returncode is not None)

    def tail(self) -> str:
        """Return the last lines, for people."""
        shown = [json.dumps(line) for line in self.lines[-_LINES_SHOWN:]]
        return "\n".join([f"the last lines of {self.name}:", *shown, *self.garbage[-_LINES_SHOWN:]])

    def _take(self, text: str) -> None:
        try:
            line = json.loads(text)
            self.lines.append({"event": line["event"], **line})
        except (ValueError, TypeError, KeyError):
            self.garbage.append(text)

    def _open(self) -> asyncio.SubprocessTransport | Forked:
        assert self._transport is not None
        return self._transport


class _Log(asyncio.Protocol):
    """The end of a pipe into which a forked process writes."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def data_received(self, data: bytes) -> None:
        self._process.pipe_data_received(2, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._process.connection_lost(exc)
