"""The watchdog's judgement over a consumer that gets nothing: is the queue empty, or is the consumer dead? Pure."""

from __future__ import annotations

from dataclasses import dataclass

# So often a queue is looked at before an alarm: one look may fall between a message's arrival and its delivery.
_LOOKS = 4
# What two looks may be apart besides: one wait for messages, and the look itself.
_SLACK_SECONDS = 1.0


@dataclass(slots=True)
class Silence:
    """For how long messages have waited in a queue while none came out of it. The caller brings the time.

    Args:
        after_seconds: how long that may last.

    ``has_moved``: the last look has shown that nothing waits, or that somebody takes messages.
    """

    after_seconds: float
    has_moved: bool = False
    _looked_at: float | None = None
    _since: float | None = None
    _ready: int = 0

    def end(self) -> None:
        """Note that a message came."""
        self._looked_at = self._since = None

    def is_look_due(self, now_seconds: float) -> bool:
        """Say whether to ask the broker how many messages are ready; nothing has come since the last call."""
        if self._looked_at is None:
            self._looked_at = now_seconds
        return now_seconds - self._looked_at >= self._between_looks

    def see(self, ready: int, now_seconds: float) -> float:
        """Return for how many seconds messages have waited at every look and none was taken by anybody."""
        # Between two looks that are far apart nobody asked for messages.
        is_gap = self._looked_at is None or now_seconds - self._looked_at > 2 * self._between_looks + _SLACK_SECONDS
        # Fewer than before: somebody takes them.
        self.has_moved = ready == 0 or (self._since is not None and ready < self._ready)
        if ready == 0:
            self._since = None
        elif self._since is None or is_gap or self.has_moved:
            self._since = now_seconds
        self._looked_at, self._ready = now_seconds, ready
        return 0.0 if self._since is None else now_seconds - self._since

    @property
    def _between_looks(self) -> float:
        return self.after_seconds / _LOOKS
