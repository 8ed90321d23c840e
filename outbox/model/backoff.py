"""Pauses between tries. Pure: the caller brings the random number, the database adds the delay to its clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

# 2**63 overflows an interval long before a delay that anyone wants.
_MAX_EXPONENT = 32


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter below the cap.

    With ``first_seconds=1`` and ``max_seconds=300``, without jitter: 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, …
    """

    first_seconds: float = 1.0
    max_seconds: float = 300.0

    def delay_seconds(self, failures: int, jitter: float) -> float:
        """Return the pause after this many failures in a row (1 = the first).

        Args:
            failures: how often it has failed, at least 1.
            jitter: a number in [0, 1]; 1 gives the whole delay, 0 half of it. Never below half, so that a
                struggling target always gets a rest, and applied before the cap, so that the cap is true.
        """
        exponent = min(max(failures, 1) - 1, _MAX_EXPONENT)
        whole = min(self.first_seconds * float(2**exponent), self.max_seconds)
        return whole * (0.5 + 0.5 * jitter)


# A schedule is a promise about times: chance shortens its pauses a little, so that those who failed together come back
# one after the other.
_SCHEDULE_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Schedule(Backoff):
    """Pauses one by one; after the last it is repeated."""

    pauses_seconds: tuple[float, ...] = ()

    @classmethod
    def of(cls, pauses_seconds: tuple[float, ...]) -> Self:
        """Return the schedule of these pauses, at least one."""
        return cls(pauses_seconds[0], max(pauses_seconds), pauses_seconds)

    def delay_seconds(self, failures: int, jitter: float) -> float:
        """Return the pause after this many failures in a row, a tenth shorter at most."""
        whole = self.pauses_seconds[min(max(failures, 1), len(self.pauses_seconds)) - 1]
        return whole * (1 - _SCHEDULE_JITTER * (1 - jitter))
