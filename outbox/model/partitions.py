"""The partitions of the outbox table: what is known of each, and why it is still there. Pure.

A partition is *ahead* of the sequence, *open* while ids come from it, *closed* behind it, *passed* once nobody can
write into it and everything in it is published, and *emptied* when its retention is over. An emptied one is dropped at
a moment when nobody writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class PartitionState(StrEnum):
    """Where a partition is on its way; the last two are the default partition's."""

    AHEAD = "ahead"
    OPEN = "open"
    CLOSED = "closed"
    PASSED = "passed"
    EMPTIED = "emptied"
    DETACHED = "detached"
    UNUSED = "unused"
    USED = "used"


class PartitionStep(StrEnum):
    """What upkeep does to a partition, in the order of a round."""

    CLOSED = "closed"
    CREATED = "created"
    OPENED = "opened"
    EMPTIED = "emptied"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long published events stay, and how they are cut into partitions."""

    keep_seconds: float = 30 * 86400.0
    partition_every_seconds: float = 86400.0
    ahead: int = 3


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition. ``high`` is the first id behind it; the default partition has no number and no bounds."""

    name: str
    number: int | None
    low: int | None
    high: int | None
    state: PartitionState
    created_at: datetime | None
    opened_at: datetime | None
    closed_at: datetime | None
    age_seconds: float | None
    closed_seconds: float | None
    size_bytes: int | None
    estimated_rows: int | None
    is_unknown_to_writers: bool


@dataclass(frozen=True, slots=True)
class StepTaken:
    """What a step did to one partition, or why it could not. Without a reason it is done."""

    partition: str | None
    size_bytes: int | None
    postponed: str | None


def why_kept(partition: Partition, retention: Retention) -> str:
    """Say why a partition is still there, in words for people."""
    match partition.state:
        case PartitionState.AHEAD if partition.is_unknown_to_writers:
            return "transactions that began before it was there are still open"
        case PartitionState.AHEAD:
            return "ready for its first event"
        case PartitionState.OPEN:
            return "events are written into it"
        case PartitionState.CLOSED:
            return "not known to be published to its end, or a transaction older than its end is open"
        case PartitionState.PASSED:
            is_kept = (partition.closed_seconds or 0.0) < retention.keep_seconds
            return (
                "published, the retention is not over" if is_kept else "published and past its retention: to be emptied"
            )
        case PartitionState.EMPTIED:
            return "empty; dropped when nobody writes at that moment"
        case PartitionState.DETACHED:
            return "no part of outbox.event any more; left alone"
        case PartitionState.UNUSED:
            return "last resort"
        case PartitionState.USED:
            return "holds events that had no partition; create partitions ahead"


def ahead_of(partitions: list[Partition]) -> int:
    """Return how many partitions wait for their first event."""
    return sum(partition.state is PartitionState.AHEAD for partition in partitions)


def oldest_age_seconds(partitions: list[Partition]) -> float:
    """Return for how long the oldest partition that holds events has been there."""
    holding = (PartitionState.OPEN, PartitionState.CLOSED, PartitionState.PASSED)
    return max((p.age_seconds or 0.0 for p in partitions if p.state in holding), default=0.0)


def is_default_used(partitions: list[Partition]) -> bool:
    """Say whether events had to go to the default partition."""
    return any(partition.state is PartitionState.USED for partition in partitions)
