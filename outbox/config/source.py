"""Where a process has its settings from, to be read again while it runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from outbox.config.files import FilesRead
from outbox.config.load import load
from outbox.config.settings import Settings
from outbox.config.show import effective
from outbox.config.transforms import Table

# Enough to tell two settings apart; people read it.
_HASH_CHARACTERS = 12


class SettingsSource:
    """The file that was asked for, the environment, and what adapters there are.

    ``files``: what was read last, also when it was wrong. ``is_asked``: whether somebody wants them read again since.
    """

    def __init__(
        self,
        path: Path | None,
        environ: Mapping[str, str],
        adapters: Mapping[str, type[BaseModel]],
        check: Callable[[Settings], None],
        *,
        mappings: Mapping[str, Path] | None = None,
    ) -> None:
        """Keep them.

        Args:
            path: of the settings file, None: where it usually is.
            environ: the process environment.
            adapters: the settings model of each.
            check: raises `Misconfigured` for what the settings alone cannot know to be wrong.
            mappings: files that stand in for the mappings of flows.
        """
        self._path = path
        self._environ = environ
        self._adapters = adapters
        self._check = check
        self._mappings = mappings
        self.files = FilesRead()
        self.is_asked = False

    def ask(self) -> None:
        """Ask for them to be read again; also before there is anybody to do so."""
        self.is_asked = True

    def read(self, *, again: bool = False) -> Settings:
        """Read and check everything. ``again``: what can be read only once is refused, because it may never end.

        Raises:
            Misconfigured: with every problem.
        """
        self.is_asked = False
        self.files = FilesRead(must_be_regular=again)
        settings = load(
            path=self._path,
            environ=self._environ,
            adapters=self._adapters,
            mappings=self._mappings,
            files=self.files,
        )
        self._check(settings)
        return settings


def settings_hash(settings: Settings) -> str:
    """Return a word that differs when settings do, but for secrets: it must not help anybody to guess one."""
    # What a value table says stands in a file of its own, and is no less a setting.
    files = sorted(json.dumps([one.file, one.key, one.value, one.rows()], sort_keys=True) for one in _tables(settings))
    text = json.dumps([effective(settings), files], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_CHARACTERS]


def _tables(value: object) -> Iterator[Table]:
    """Yield the value tables that come from files, however deep they stand."""
    match value:
        case Table():
            yield from (value,) if value.file is not None else ()
        case BaseModel():
            for name in type(value).model_fields:
                yield from _tables(getattr(value, name))
        case Mapping():
            for child in value.values():
                yield from _tables(child)
        case tuple() | list():
            for child in value:
                yield from _tables(child)
