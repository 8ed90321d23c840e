"""What RabbitMQ's releases do differently, by the version that the broker itself names. Facts only, no decisions."""

from __future__ import annotations

import re
from typing import NamedTuple

from outbox.model.errors import Misconfigured

_MIB = 1024 * 1024
_NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


class BrokerVersion(NamedTuple):
    """A release of RabbitMQ; they compare in order."""

    major: int
    minor: int
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> BrokerVersion:
        """Read ``4.1.0-rc.1`` and the like; what follows the numbers is a build of the same release.

        Raises:
            Misconfigured: it is no version of RabbitMQ.
        """
        match = _NUMBERS.match(text)
        if match is None:
            raise Misconfigured(f"the broker calls its version {text[:40]!r}", "connect to RabbitMQ 3.10 or later")
        return cls(int(match[1]), int(match[2]), int(match[3] or 0))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def policy_target(self) -> str:
        """Return the narrowest ``apply-to`` that covers quorum queues."""
        return "quorum_queues" if self >= (3, 12) else "queues"

    @property
    def default_delivery_limit(self) -> int | None:
        """Return after how many deliveries a message leaves a queue without a limit of its own; None: never."""
        return 20 if self >= (4, 0) else None

    @property
    def has_unlimited_deliveries(self) -> bool:
        """Say whether a negative delivery limit means none; earlier releases refuse one."""
        return self >= (4, 0)

    @property
    def max_message_bytes(self) -> int:
        """Return the largest message that the broker takes unless it is configured otherwise."""
        return 16 * _MIB if self >= (4, 0) else 128 * _MIB

    @property
    def needs_stream_flag(self) -> bool:
        """Say whether at-least-once dead-lettering hangs on the feature flag ``stream_queue``."""
        return self < (4, 0)

    @property
    def changes_limits_of_live_queues(self) -> bool:
        """Say whether a policy's new delivery limit is sure to act on a queue that exists."""
        return self >= (4, 3)

    @property
    def has_consumer_timeout_policy(self) -> bool:
        """Say whether a policy may shorten the time that a consumer has to acknowledge."""
        return self >= (3, 12)


OLDEST = BrokerVersion(3, 10)


def supported(text: str) -> BrokerVersion:
    """Read the version of a broker that we can work with.

    Raises:
        Misconfigured: it is older than that.
    """
    version = BrokerVersion.parse(text)
    if version < OLDEST:
        # Quorum queues lose dead letters there: at-least-once dead-lettering came with 3.10.
        raise Misconfigured(
            f"the broker is RabbitMQ {version}, the oldest that works is {OLDEST.major}.{OLDEST.minor}",
            "upgrade RabbitMQ",
        )
    return version
