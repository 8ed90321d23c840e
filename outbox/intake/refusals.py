"""Remembers refused requests, so that people can find them: a few rows a second, however many come.

What was refused for the same reason, of one source and from one address, within a second is one row with a count.
They are written behind the answers: a refusal costs its sender no database, and a crash loses the last second of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol

from outbox.model.intake import RefusedNote
from outbox.model.intake_events import RefusalsNoted
from outbox.model.lifecycle import Report
from outbox.supervisor import Pulse, Stop

_EVERY_SECONDS = 1.0
_IDLE_SECONDS = 60.0
# In one second. Beyond it the address does not count; then nothing does.
_ROWS_BY_ADDRESS = 20
_ROWS = 200
_MAX_HEADERS = 40
_MAX_NAME_CHARACTERS = 64
_MAX_REMOTE_CHARACTERS = 64
_MAX_DETAIL_CHARACTERS = 240


class _Session(Protocol):
    async def note_refused(self, notes: Sequence[RefusedNote]) -> None: ...


class _Store(Protocol):
    def session(self) -> AbstractAsyncContextManager[_Session]: ...


class Refusals:
    """A supervised service, and the way to it."""

    def __init__(self, store: _Store, report: Report) -> None:
        self._store = store
        self._report = report
        self._notes: dict[tuple[str, str, str], RefusedNote] = {}
        self._uncounted = 0
        self._wake = asyncio.Event()
        self._is_closed = False

    def note(self, note: RefusedNote) -> None:
        """Remember one refused request."""
        key = (note.source, note.reason, note.remote)
        if key not in self._notes and len(self._notes) >= _ROWS_BY_ADDRESS:
            key = (note.source, note.reason, "")
        known = self._notes.get(key)
        if known is not None:
            self._notes[key] = replace(known, requests=known.requests + note.requests)
        elif len(self._notes) < _ROWS:
            self._notes[key] = _bounded(note)
            self._wake.set()
        else:
            self._uncounted += note.requests

    def close(self) -> None:
        """Tell that nothing more will come."""
        self._is_closed = True
        self._wake.set()

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Write once a second what was refused, until it is closed and everything is written.

        Raises:
            Unavailable: the database is away; nothing that is remembered is forgotten.
            AccessRefused, Misconfigured: the user may not note, or the schema is older than this program.
        """
        async with self._store.session():
            # What cannot work is told at the start, and not when somebody outside makes the first mistake.
            pulse.establish()
        while self._notes or not self._is_closed:
            pulse.beat()
            if self._notes:
                await self._write()
            if self._is_closed:
                continue
            if not stop.is_set():
                await stop.pause(_EVERY_SECONDS)
            self._wake.clear()
            if not self._notes and not self._is_closed:
                await stop.pause(_IDLE_SECONDS, wake=self._wake)

    async def _write(self) -> None:
        async with self._store.session() as session:
            notes, uncounted = dict(self._notes), self._uncounted
            await session.note_refused(list(notes.values()))
        # What came meanwhile was counted in the same rows, or stands behind them.
        for key, note in notes.items():
            left = self._notes[key].requests - note.requests
            if left:
                self._notes[key] = replace(note, requests=left)
            else:
                del self._notes[key]
        self._uncounted -= uncounted
        self._report(RefusalsNoted(len(notes), sum(note.requests for note in notes.values()), uncounted))


def _bounded(note: RefusedNote) -> RefusedNote:
    # What a sender may write as it likes becomes ASCII: one that the table does not take would never be got rid of.
    # Of headers only such names are shown as everybody uses.
    names = [name for name in note.header_names if len(name) <= _MAX_NAME_CHARACTERS and "," not in name]
    return replace(
        note,
        remote=_ascii(note.remote)[:_MAX_REMOTE_CHARACTERS],
        detail=_ascii(note.detail)[:_MAX_DETAIL_CHARACTERS],
        header_names=tuple(map(_ascii, names[:_MAX_HEADERS])),
    )


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()
