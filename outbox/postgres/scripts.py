"""Finds the SQL files: inside the installed package, or beside it in a checkout."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from outbox.model.errors import Misconfigured

_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Script:
    """One SQL file. ``number`` is None for functions, which are replaced whenever their text changes."""

    name: str
    text: str
    number: int | None = None

    def sha256(self) -> str:
        """Return the hash that tells whether the installed text is this text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> tuple[Script, ...]:
    """Return the migrations in order of their number."""
    files = sorted((_folder() / "migrations").glob("*.sql"))
    return tuple(Script(file.stem, file.read_text(encoding="utf-8"), int(file.stem[:4])) for file in files)


def functions() -> tuple[Script, ...]:
    """Return the functions in order of their name."""
    files = sorted((_folder() / "functions").glob("*.sql"))
    return tuple(Script(file.stem, file.read_text(encoding="utf-8")) for file in files)


def once() -> str:
    """Return what a consuming service installs in its own database, as one text: the tables, then the functions."""
    folder = _folder() / "once"
    files = (folder / "tables.sql", *sorted(folder.glob("once.*.sql")))
    return "\n".join([file.read_text(encoding="utf-8") for file in files])


def _folder() -> Path:
    for folder in (_PACKAGE / "sql", _PACKAGE.parent / "sql"):
        if (folder / "migrations").is_dir():
            return folder
    raise Misconfigured("the SQL files of outbox are not installed", "install the package again")
