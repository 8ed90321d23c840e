"""What `outbox check` finds. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from outbox.model.partitions import Partition, PartitionState

_HOLD_EVENTS = (PartitionState.OPEN, PartitionState.CLOSED, PartitionState.PASSED)


class Result(StrEnum):
    """How one look ended. Only what is wrong fails the check."""

    RIGHT = "right"
    WRONG = "wrong"
    NOTE = "note"
    UNSEEN = "not seen"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and what to do if it is not right."""

    subject: str
    result: Result
    text: str
    next_step: str | None = None


def memory(partitions: Iterable[Partition], *, remembered_seconds: float, queue_life_seconds: float) -> Finding:
    """Judge whether the inbox remembers longer than a copy of an event can come.

    The settings promise it for events that go when they are due; what is still there decides.

    Args:
        partitions: of the outbox.
        remembered_seconds: how long finished deliveries are remembered.
        queue_life_seconds: how long a message may lie in a queue before it comes.
    """
    ages = [
        (partition.age_seconds, partition.name)
        for partition in partitions
        if partition.state in _HOLD_EVENTS and partition.age_seconds is not None
    ]
    oldest_seconds, name = max(ages, default=(0.0, ""))
    least = oldest_seconds + queue_life_seconds
    if least <= remembered_seconds:
        return Finding("memory", Result.RIGHT, f"finished deliveries are remembered for {_days(remembered_seconds)}")
    return Finding(
        "memory",
        Result.WRONG,
        f"{name} has events of {_days(oldest_seconds)} ago, which can be published again and lie in a queue for "
        f"{_days(queue_life_seconds)}; finished deliveries are forgotten after {_days(remembered_seconds)}, and then "
        "they would take effect twice",
        f"set inbox.keep to {_whole_days(least)} or more until it is gone; `outbox partitions` says why it is there",
    )


def _days(seconds: float) -> str:
    return f"{seconds / 86_400:.3g} days"


def _whole_days(seconds: float) -> str:
    return f"{-(-seconds // 86_400):.0f}d"
