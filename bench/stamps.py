"""Moments of events, handed from one process to another through a file that grows.

All of them are read from the same monotonic clock of the same machine.
"""

import struct
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

_STAMP = struct.Struct("=qq")


class Stamps:
    """A file of pairs: the event's sequence, and a moment in nanoseconds."""

    def __init__(self, path: Path) -> None:
        # Unbuffered: who reads it while it grows shall see every event that has happened.
        self._file = path.open("ab", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, sequences: Iterable[int], at_ns: int) -> None:
        """Note one moment for several events."""
        self._file.write(b"".join(_STAMP.pack(sequence, at_ns) for sequence in sequences))


def read_stamps(path: Path) -> list[tuple[int, int]]:
    """Return every pair that is complete, in its order."""
    content = path.read_bytes() if path.exists() else b""
    return [
        (int(pair[0]), int(pair[1]))
        for pair in _STAMP.iter_unpack(content[: len(content) // _STAMP.size * _STAMP.size])
    ]


def count_stamps(path: Path) -> int:
    """Count the pairs without reading them."""
    return path.stat().st_size // _STAMP.size if path.exists() else 0
