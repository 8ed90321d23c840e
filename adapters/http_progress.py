"""How far one request got, and by when it must have got further."""

from __future__ import annotations

import asyncio
import math
from enum import StrEnum

from outbox.model.connection import Connection


class Phase(StrEnum):
    """What a call is at. Before SENDING no byte of the request has left."""

    CONNECTING = "connecting"
    SENDING = "sending"
    WAITING = "waiting"
    READING = "reading"
    OVER = "over"


class Progress:
    """One call: its phase, its status once known, and its deadline, which moves with the phase.

    Every deadline ends with the total one at the latest, at ``ends_at`` of the loop's clock, which is where it stands
    when this is made. Connecting has its own in the HTTP library. ``leave_by``: when, by `time.monotonic`, it is too
    late for the first byte.
    """

    def __init__(
        self, connection: Connection, deadline: asyncio.Timeout, ends_at: float, leave_by: float = math.inf
    ) -> None:
        self._connection = connection
        self._deadline = deadline
        self._ends_at = ends_at
        self.leave_by = leave_by
        self.phase = Phase.CONNECTING
        self.status: int | None = None
        self.sent_bytes = 0

    @property
    def was_sent(self) -> bool:
        """Say whether a byte of the request may have left; False is proof."""
        return self.phase is not Phase.CONNECTING

    def sending(self) -> None:
        """The first byte is about to leave."""
        self._enter(Phase.SENDING, self._connection.send_timeout)

    def waiting(self) -> None:
        """The last byte was taken by the network."""
        if self.phase is Phase.SENDING:
            self._enter(Phase.WAITING, self._connection.answer_timeout)

    def reading(self, status: int) -> None:
        """The answer has begun; it may be given before the request was taken whole."""
        self.status = status
        self._enter(Phase.READING, None)

    def over(self) -> None:
        """Nothing is waited for any more."""
        self.phase = Phase.OVER

    def limit_text(self, phase: Phase) -> str:
        """Return the limit that a phase ran into, for people."""
        connection = self._connection
        own = {Phase.SENDING: connection.send_timeout, Phase.WAITING: connection.answer_timeout}.get(phase)
        return f"{min(own or connection.timeout, connection.timeout):g} s"

    def _enter(self, phase: Phase, own_seconds: float | None) -> None:
        # The writer of a body may outlive the call by a moment.
        if self.phase is Phase.OVER or self._deadline.expired():
            return
        self.phase = phase
        ends_at = self._ends_at
        if own_seconds is not None:
            ends_at = min(ends_at, asyncio.get_running_loop().time() + own_seconds)
        if ends_at != self._deadline.when():
            self._deadline.reschedule(ends_at)
