"""Says in the database that this process runs and by which settings, so that whoever asks there learns of a refusal.

The database, not the HTTP port: who asks has the settings file, and that names no process; and a port may be any, or be
closed to other machines.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from contextlib import suppress
from typing import Protocol

from outbox.model.lifecycle import Lifecycle
from outbox.model.settings_events import SettingsInEffect, SettingsRefused, SettingsUnchanged
from outbox.supervisor import Pulse, Stop

_EVERY_SECONDS = 30.0
# Two words may be lost.
_LEASE_SECONDS = 3 * _EVERY_SECONDS
# The end of a process must not wait for a database that is away: the lease ends by itself.
_FORGET_SECONDS = 1.0


class _Store(Protocol):
    async def tell(
        self, name: str, program: str, settings_hash: str, refusal: str | None, *, lease_seconds: float
    ) -> None: ...
    async def forget(self, name: str) -> None: ...


class Presence:
    """One process; a supervised service that listens to what becomes of its settings."""

    def __init__(self, store: _Store, program: str, settings_hash: str) -> None:
        self._store = store
        self._program = program
        self._name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._settings_hash = settings_hash
        self._news: Stop | None = None
        self.refusal: str | None = None

    def hear(self, event: Lifecycle) -> None:
        """Follow one event."""
        match event:
            case SettingsInEffect(settings_hash) | SettingsUnchanged(settings_hash):
                self._settings_hash, self.refusal = settings_hash, None
            case SettingsRefused():
                self.refusal = event.reason
            case _:
                return
        if self._news is not None:
            self._news.set()

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Say so until stopped.

        Raises:
            Unavailable: the database is away.
        """
        # Whoever cannot say that it runs can do its work all the same: nothing that is wrong here ends a process.
        pulse.establish()
        while not stop.is_set():
            pulse.beat()
            news = self._news = stop.part()
            await self._store.tell(
                self._name, self._program, self._settings_hash, self.refusal, lease_seconds=_LEASE_SECONDS
            )
            await news.pause(_EVERY_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(_FORGET_SECONDS):
                await self._store.forget(self._name)
