"""Reads the settings again, on SIGHUP or when one of their files has changed, and has them taken up as a whole or not.

Files are looked at every few seconds, not watched: a watch on a file of a ConfigMap ends when Kubernetes puts another
in its place, and says nothing on many network file systems. A change is complete when two looks in a row see the same:
who writes a file must not have half of it taken up.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager

from outbox.config.difference import Difference, difference
from outbox.config.settings import Settings
from outbox.config.source import SettingsSource, settings_hash
from outbox.model.errors import OutboxError
from outbox.model.lifecycle import Report
from outbox.model.settings_events import SettingsInEffect, SettingsRefused, SettingsUnchanged
from outbox.supervisor import Pulse, Stop

TakeUp = Callable[[Settings, Difference, Pulse], Awaitable[None]]


class Reloader:
    """A supervised service. Only one round at a time; what is asked for meanwhile is one more."""

    def __init__(self, source: SettingsSource, settings: Settings, take_up: TakeUp, report: Report) -> None:
        self._source = source
        self._settings = settings
        self._take_up = take_up
        self._report = report
        self._found = source.files.as_found()
        self._looked: Hashable = None
        self._pause = Stop()

    def ask(self) -> None:
        """Read the settings again now."""
        self._source.ask()
        self._pause.set()

    @contextmanager
    def on_hangup(self) -> Iterator[None]:
        """Do so at each SIGHUP for the length of the block; there is no moment at which it would end the process."""
        before = signal.getsignal(signal.SIGHUP)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self.ask)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
            loop.remove_signal_handler(signal.SIGHUP)
            signal.signal(signal.SIGHUP, before)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Look and read until stopped; what is wrong with the settings is told, never raised."""
        pulse.establish()
        while not stop.is_set():
            pulse.beat()
            self._pause = stop.part()
            if not self._source.is_asked:
                await self._pause.pause(self._settings.reload.check_every)
            if stop.is_set():
                break
            if self._source.is_asked or await self._has_changed():
                await self._reload(pulse)

    async def _has_changed(self) -> bool:
        if not self._settings.reload.on_change:
            return False
        # Not in the loop's own thread: a network file system may take its time.
        now = await asyncio.to_thread(self._source.files.as_is)
        is_complete, self._looked = now == self._looked, now
        return is_complete and now != self._found

    async def _reload(self, pulse: Pulse) -> None:
        try:
            # Hundreds of flows take seconds to read, and leases must be renewed meanwhile.
            settings = await asyncio.to_thread(self._source.read, again=True)
            change = difference(self._settings, settings)
            if change.needs_restart:
                self._refuse(f"restart needed: {', '.join(change.needs_restart)}; nothing of the change is in effect")
            elif not change.is_any:
                self._report(SettingsUnchanged(settings_hash(settings)))
            else:
                await self._take_up(settings, change, pulse)
                self._settings = settings
                told = SettingsInEffect(settings_hash(settings), change.added, change.changed, change.removed)
                self._report(told)
        except OutboxError as error:
            self._refuse(str(error))
        finally:
            self._found = self._source.files.as_found()

    def _refuse(self, reason: str) -> None:
        self._report(SettingsRefused(settings_hash(self._settings), reason))
