"""A file of evidence with one JSON document a line: written in the moment of the effect, never changed."""

import json
import os
from typing import Any


def open_ledger(path: str | os.PathLike[str]) -> int:
    """Open the file for `append_line`, and for `complete_lines` to read back."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)


def append_line(file: int, line: bytes) -> None:
    """Append one line.

    Raises:
        OSError: it was not taken as a whole; nothing of it is left.
    """
    # One unbuffered write: a process that is killed leaves the whole line or nothing of it.
    written = os.write(file, line)
    if written != len(line):
        os.ftruncate(file, os.fstat(file).st_size - written)
        raise OSError(f"the ledger took {written} of {len(line)} bytes: is the disk full?")


def complete_lines(file: int) -> list[dict[str, Any]]:
    """Read the lines, and cut off a last one that was never finished: its effect did not happen."""
    content = os.pread(file, os.fstat(file).st_size, 0)
    complete, line_feed, _ = content.rpartition(b"\n")
    os.ftruncate(file, len(complete) + len(line_feed))
    return [json.loads(line) for line in complete.splitlines()]
