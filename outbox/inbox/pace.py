"""How fast one process calls a flow's target: the flow's rate, and a slow start after trouble. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from outbox.model.circuit import Signal

# A burst is a tenth of a second's worth: a limit of 20/s stays one for a target that counts by the second.
_BURST_SECONDS = 0.1


class Pace:
    """Decides how many calls may begin now.

    ``rate_per_second`` belongs to the whole flow: each process takes the part of it that is its part of the lanes, so
    that all of them together keep to it without talking to each other. None: no limit but ``concurrency``.

    After trouble or too many calls at once fewer are under way, half as many each time; each call that goes well allows
    one more. What has piled up behind an outage therefore meets a target that comes back gently.
    """

    def __init__(self, concurrency: int, rate_per_second: float | None, clock: Callable[[], float]) -> None:
        self._concurrency = concurrency
        self._rate_per_second = rate_per_second
        self._clock = clock
        self._allowed = concurrency
        self._tokens = 1.0
        self._counted_at = clock()
        self._circuit_changed_at: datetime | None = None

    def free_calls(self, under_way: int, lane_share: float) -> int:
        """Return how many calls may begin now.

        Args:
            under_way: calls that have begun and not ended.
            lane_share: the part of the flow's lanes that this process holds, 0 to 1.
        """
        free = max(self._allowed - under_way, 0)
        if self._rate_per_second is None:
            return free
        rate = self._rate_per_second * lane_share
        now = self._clock()
        most = max(rate * _BURST_SECONDS, 1.0)
        self._tokens = min(self._tokens + (now - self._counted_at) * rate, most)
        self._counted_at = now
        return min(free, int(self._tokens))

    def began(self, calls: int) -> None:
        """Note calls that have begun."""
        self._tokens -= calls

    def note(self, signal: Signal) -> None:
        """Note what the end of a call has shown of the target."""
        if signal is Signal.WORKS:
            self._allowed = min(self._allowed + 1, self._concurrency)
        else:
            self._allowed = max(self._allowed // 2, 1)

    def know_circuit(self, changed_at: datetime | None) -> None:
        """Note when the circuit was last opened or closed before the first look."""
        self._circuit_changed_at = changed_at

    def see_circuit(self, changed_at: datetime | None, *, is_probe: bool) -> None:
        """Go on with one call when the target has been left alone, whoever it was that saw its trouble."""
        if is_probe or changed_at != self._circuit_changed_at:
            self._circuit_changed_at = changed_at
            self._allowed = 1
