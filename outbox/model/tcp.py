"""How soon a connection whose other side is gone is noticed. Pure: options as values, the edges set them.

The kernel would wait two hours on an idle connection, and a quarter of an hour for the answer to what was sent.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass

Option = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """When to ask whether the other side is there, and how often before it counts as gone."""

    idle_seconds: int
    interval_seconds: int
    probes: int

    @property
    def dead_after_seconds(self) -> int:
        """Return how long silence lasts at most, on an idle connection and on one that waits for an answer."""
        return self.idle_seconds + self.interval_seconds * self.probes

    def options(self) -> tuple[Option, ...]:
        """Return what ``setsockopt`` takes; an option that this system does not have is left out."""
        wanted = (
            ("TCP_KEEPIDLE", self.idle_seconds),
            ("TCP_KEEPINTVL", self.interval_seconds),
            ("TCP_KEEPCNT", self.probes),
            ("TCP_USER_TIMEOUT", self.dead_after_seconds * 1000),
        )
        return (
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            *((socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in wanted if hasattr(socket, name)),
        )

    def postgres_settings(self) -> Mapping[str, str]:
        """Return the same for the server's end, so that the session of a host that is gone does not live on."""
        return {
            "tcp_keepalives_idle": str(self.idle_seconds),
            "tcp_keepalives_interval": str(self.interval_seconds),
            "tcp_keepalives_count": str(self.probes),
            "tcp_user_timeout": str(self.dead_after_seconds * 1000),
        }


# Our database and our broker: while one is gone, nothing moves.
PROMPT = KeepAlive(idle_seconds=5, interval_seconds=3, probes=3)
# Targets are far away, and a connection given up too early leaves a call in doubt.
PATIENT = KeepAlive(idle_seconds=15, interval_seconds=5, probes=3)
