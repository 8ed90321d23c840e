"""How far back a look for due deliveries reaches. Pure.

The index of what is due keeps an entry of everything that was applied, for as long as any transaction in the database
can still see it: a report or a dump of half an hour. All of them are older than what is due, and a look that began at
the oldest would read them each time. So a look begins where the one before found its oldest, and only now and then at
the very beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

# A delivery becomes due when its transaction begins, and is seen when that ends.
_MARGIN_SECONDS = 2.0
# What took longer to be seen, as many that one person sets free at once, waits so long at most. A whole look that takes
# long is made less often.
_WHOLE_EVERY_SECONDS = 10.0
_WHOLE_PAUSE_FACTOR = 20.0


class Reach:
    """Remembers how old the oldest due delivery was."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lanes: Hashable = None
        self._oldest_at: float | None = None
        self._whole_at = 0.0
        self._began_at = 0.0
        self._is_whole = True

    def begin(self, lanes: Hashable) -> float | None:
        """Begin a look; return how many seconds back it reaches, None: to the very beginning.

        Args:
            lanes: whatever changes when other deliveries may be looked at.
        """
        now = self._began_at = self._clock()
        self._is_whole = self._oldest_at is None or lanes != self._lanes or now >= self._whole_at
        self._lanes = lanes
        if self._is_whole or self._oldest_at is None:
            return None
        return now - self._oldest_at + _MARGIN_SECONDS

    def end(self, oldest_seconds: float | None) -> None:
        """Note for how long the oldest had been due that an oldest-first look has found.

        Args:
            oldest_seconds: 0 when it is certain that nothing is due; None when nothing was found, and that proves
                nothing: the target may throttle.
        """
        if self._is_whole:
            now = self._clock()
            self._whole_at = now + max(_WHOLE_EVERY_SECONDS, _WHOLE_PAUSE_FACTOR * (now - self._began_at))
        if oldest_seconds is not None:
            self._oldest_at = self._began_at - oldest_seconds
