"""The files that settings are made of: read within bounds, and remembered, so that a change of them is noticed."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path

# Device, inode, size and both times: a file that was written to, replaced, or reached over another link.
_Look = tuple[int, int, int, int, int]


class UnreadableFileError(Exception):
    """A file cannot be used; the text names it and the reason, nothing of its content."""


@dataclass(slots=True)
class FilesRead:
    """Every file that was read, or looked for in vain, and every pattern with what it has matched.

    ``must_be_regular``: for who reads them again and again; a pipe gives its content once, and may never end.
    """

    must_be_regular: bool = False
    _files: dict[str, _Look | None] = field(default_factory=dict)
    _patterns: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def note(self, path: Path) -> None:
        """Remember a file as it is now, before it is read, or because it could be there and is not."""
        self._files[str(path)] = _look_at(str(path))

    def text(self, path: Path, *, max_bytes: int, must_be_regular: bool = False) -> str:
        """Return the text of a small file, and remember it.

        Raises:
            UnreadableFileError: with the reason.
        """
        # First: what is written between the two is then a change.
        self.note(path)
        return read_text(path, max_bytes=max_bytes, must_be_regular=must_be_regular or self.must_be_regular)

    def matches(self, folder: Path, pattern: str) -> list[Path]:
        """Return what a pattern matches, in order of names; names that begin with a dot are not meant."""
        found = _matches(str(folder), pattern)
        self._patterns[str(folder), pattern] = found
        return [folder / name for name in found]

    def as_found(self) -> Hashable:
        """Return how everything was when it was read."""
        return (tuple(self._files.items()), tuple(self._patterns.items()))

    def as_is(self) -> Hashable:
        """Return how everything is now; equal to what was found as long as nothing has changed."""
        return (
            tuple((name, _look_at(name)) for name in self._files),
            tuple((key, _matches(*key)) for key in self._patterns),
        )


def read_text(path: Path, *, max_bytes: int, must_be_regular: bool = False) -> str:
    """Return the text of a small file.

    Raises:
        UnreadableFileError: with the reason.
    """
    name = shown_path(str(path))
    try:
        content = _content(path, max_bytes, must_be_regular=must_be_regular)
    except OSError as error:
        raise UnreadableFileError(f"cannot read the file {name}: {error.strerror or type(error).__name__}") from error
    except ValueError as error:
        raise UnreadableFileError(f"cannot read the file {name}: this is no path") from error
    if len(content) > max_bytes:
        raise UnreadableFileError(f"the file {name} is larger than {max_bytes // 1024}KiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # No `from`: the cause carries the bytes.
        raise UnreadableFileError(f"the file {name} is not UTF-8 text") from None


def _content(path: Path, max_bytes: int, *, must_be_regular: bool) -> bytes:
    # Opening a pipe waits for a writer, unless told not to.
    with open(path, "rb", opener=_without_waiting if must_be_regular else None) as file:
        if must_be_regular and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "it is no regular file, and would have to be read again")
        return file.read(max_bytes + 1)


def shown_path(name: str) -> str:
    """Return a path as it is, or quoted if it would disturb a terminal."""
    return name if name.isprintable() else ascii(name)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _matches(folder: str, pattern: str) -> tuple[str, ...]:
    # Not pathlib: it takes names that begin with a dot, such as what editors and Kubernetes keep beside a file.
    return tuple(sorted(glob.glob(pattern, root_dir=folder)))  # noqa: PTH207


def _look_at(name: str) -> _Look | None:
    try:
        return _look(os.stat(name))  # noqa: PTH116 - the key is text
    except (OSError, ValueError):
        return None


def _look(found: os.stat_result) -> _Look:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
