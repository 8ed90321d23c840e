"""Lines of progress with the time left, by what the steps were expected to take and what they took."""

import time
from collections.abc import Callable

Say = Callable[[str], None]

_MINUTE_SECONDS = 60


class Progress:
    """One line for each step."""

    def __init__(self, say: Say, *, steps: int, expected_seconds: float) -> None:
        self._say = say
        self._steps = steps
        self._expected_seconds = expected_seconds
        self._begun_at = time.monotonic()
        self._done = 0
        self._done_expected_seconds = 0.0

    def step(self, name: str, outcome: str, *, expected_seconds: float) -> None:
        """Say what a step has found, and how long the rest will take."""
        self._done += 1
        self._done_expected_seconds += expected_seconds
        self._say(f"[{self._done}/{self._steps}] {name}: {outcome}{self._left()}")

    def _left(self) -> str:
        left = self._expected_seconds - self._done_expected_seconds
        if self._done >= self._steps or self._done_expected_seconds <= 0:
            return ""
        left *= (time.monotonic() - self._begun_at) / self._done_expected_seconds
        return f" (about {time_text(left)} left)"


def time_text(seconds: float) -> str:
    """Return a length of time for people."""
    if seconds < 2 * _MINUTE_SECONDS:
        return f"{max(seconds, 0):.0f} s"
    return f"{seconds / _MINUTE_SECONDS:.0f} min"
