"""How many requests a source may send: a token bucket. Pure: the caller says how late it is."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Bucket:
    """Fills at a rate up to its size, which is what may come at once.

    Only requests that are proven to be the source's own take from it: nobody else can use its share up. The time is
    a monotonic one, of which only differences count.
    """

    per_second: float
    size: float
    _level: float = field(init=False)
    _filled_at: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._level = self.size

    def wait_seconds(self, now: float) -> float:
        """Take one, and return 0; or take none, and return after how long there will be one."""
        if self._filled_at is not None:
            self._level = min(self.size, self._level + max(now - self._filled_at, 0.0) * self.per_second)
        self._filled_at = now
        if self._level >= 1:
            self._level -= 1
            return 0.0
        return (1 - self._level) / self.per_second
