"""How long an answer of the broker is waited for. Pure; time comes from the caller."""

from __future__ import annotations


class Patience:
    """Time in which the broker has blocked the connection does not count: whoever comes back has all of it again."""

    def __init__(self, seconds: float, *, now: float) -> None:
        self._seconds = seconds
        self._deadline = now + seconds
        self._was_blocked = False

    def left(self, now: float) -> float:
        """Return how many seconds are left."""
        return max(0.0, self._deadline - now)

    def lasts(self, now: float, *, is_blocked: bool) -> bool:
        """Say whether to wait on, having looked whether the connection is blocked."""
        if is_blocked or self._was_blocked:
            self._deadline = now + self._seconds
        self._was_blocked = is_blocked
        return now < self._deadline
