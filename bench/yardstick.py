"""Builds the C yardstick, where that is possible."""

import subprocess
from pathlib import Path

from sandbox.binaries import RABBITMQ_C, find_c_compiler

_SOURCE = Path(__file__).with_name("limit.c")
_COMPILE_SECONDS = 60.0

# No more than the relay itself keeps unconfirmed on a channel.
WINDOW = 500


class NotBuiltError(Exception):
    """There is no yardstick here; the text says why."""


def build(folder: Path) -> Path:
    """Compile it into a folder and return the program.

    Raises:
        NotBuiltError: there is no C compiler, or no RabbitMQ client library for C.
    """
    compiler = find_c_compiler()
    if compiler is None:
        raise NotBuiltError("there is no C compiler here; run `python3 -m sandbox.prepare --need bench`")
    program = folder / "limit"
    compiled = subprocess.run(
        [compiler, "-O2", "-o", program, _SOURCE.name, *RABBITMQ_C],
        cwd=_SOURCE.parent,
        capture_output=True,
        text=True,
        timeout=_COMPILE_SECONDS,
        check=False,
    )
    if compiled.returncode != 0:
        (reason, *_) = compiled.stderr.strip().splitlines() or ["the compiler did not say why"]
        raise NotBuiltError(
            f"{_SOURCE.name} cannot be built here ({reason.strip()}); run `python3 -m sandbox.prepare --need bench`"
        )
    return program
