"""Where a test run keeps its files: in memory where there is room, because private servers make thousands of them.

No test proves anything about a machine that loses power, and a killed server's files are as they were in both places.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - every file there is made by tempfile
# Several servers at once, each with its write-ahead log; never so much that others on the machine run short.
_NEEDED_BYTES = 4 * 1024**3
_LEFT_BYTES = 4 * 1024**3


def use_memory() -> None:
    """Let this process and those that it starts make temporary files in memory, unless TMPDIR says where."""
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK):
        return
    if shutil.disk_usage(_MEMORY).free >= _NEEDED_BYTES and _available_bytes() >= _NEEDED_BYTES + _LEFT_BYTES:
        os.environ["TMPDIR"] = str(_MEMORY)
        # What tempfile may have found before.
        tempfile.tempdir = None


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, amount = line.partition(":")
        if name == "MemAvailable":
            return int(amount.split()[0]) * 1024
    return 0
