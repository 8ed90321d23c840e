"""Processes of ``outbox``, forked by `tests.kit.fork_server`: real ones, without the time that importing takes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from sandbox.changes import Changes
from tests.kit.fork_server import LENGTH_BYTES

_ROOT = Path(__file__).resolve().parents[2]
_END_SECONDS = 10


class Forked(asyncio.Protocol):
    """One process. Make one with `fork`."""

    def __init__(self, at_end: Callable[[], None]) -> None:
        self._told = b""
        self._at_end = at_end
        self._changes = Changes()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._told += data
        self._changes.notify()
        if self.returncode is not None:
            self._at_end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - what was told before tells all
        self._changes.close()

    @property
    def pid(self) -> int:
        return self._numbers()[0]

    @property
    def returncode(self) -> int | None:
        """Return its exit code once it has ended; a signal's number is negative."""
        return self._numbers()[1] if len(self._numbers()) > 1 else None

    async def started(self, *, within_seconds: float = 30.0) -> None:
        await self._changes.until(lambda: bool(self._numbers()), within_seconds=within_seconds)

    async def wait(self, *, within_seconds: float) -> int:
        """Wait for its end and return the exit code."""
        await self._changes.until(lambda: self.returncode is not None, within_seconds=within_seconds)
        self.close()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def _numbers(self) -> list[int]:
        return [int(line) for line in self._told.split(b"\n")[:-1]]


async def fork(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    folder: Path,
    stdout: int,
    stderr: int,
    at_end: Callable[[], None] = lambda: None,
) -> Forked:
    """Start ``outbox`` with nothing to read; the caller ends it, and closes its own copies of the files."""
    conversation = socket.socket(socket.AF_UNIX)
    conversation.connect(f"\0{_server().address}")
    body = json.dumps({"arguments": list(arguments), "env": dict(env), "folder": str(folder)}).encode()
    socket.send_fds(conversation, [len(body).to_bytes(LENGTH_BYTES, "big")], [stdout, stderr])
    conversation.sendall(body)
    conversation.setblocking(False)
    _, forked = await asyncio.get_running_loop().create_unix_connection(lambda: Forked(at_end), sock=conversation)
    await forked.started()
    return forked


class _Server:
    """The one of this process; it ends when this process does."""

    def __init__(self) -> None:
        self.address = f"outbox-fork-{uuid.uuid4().hex}"
        self._process = subprocess.Popen(
            # Not as a module: the command calls itself by the name of what was started.
            [sys.executable, "-P", "-c", "from tests.kit.fork_server import main; main()", self.address],
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def stop(self) -> None:
        self._process.communicate(timeout=_END_SECONDS)


_server = cache(_Server)


def stop() -> None:
    """End the server of this process, and every ``outbox`` that still runs."""
    if _server.cache_info().currsize:
        _server().stop()
        _server.cache_clear()
