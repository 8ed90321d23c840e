"""Seeds of random tests: a few in every run, others by ``FAULT_SEEDS=17,18``; a failure says how to repeat it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "FAULT_SEEDS"


def seeds(*usual: int) -> list[int]:
    wanted = os.environ.get(VARIABLE)
    return [int(seed) for seed in wanted.split(",")] if wanted else list(usual)


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").partition("[")[0]
        error.add_note(f"again: {VARIABLE}={seed} python -m pytest '{test}'")
        raise
