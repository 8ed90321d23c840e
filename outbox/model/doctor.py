"""What `outbox check` finds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from outbox.model.outcome import NotTold, Reached, TargetDown, Throttled
from outbox.model.partitions import Partition, PartitionState
from outbox.model.rebase import CursorHome, findings, has_only_failed_over

_HOLD_EVENTS = (PartitionState.OPEN, PartitionState.CLOSED, PartitionState.PASSED)
_NAMES_SHOWN = 3


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


def schema(missing: Sequence[str], different: Sequence[str]) -> Finding:
    """Judge the schema by what "outbox migrate" would apply.

    Args:
        missing: migrations that the database does not have.
        different: functions of which it has another text, or none.
    """
    found = [
        f"{len(names)} {what} ({', '.join(names[:_NAMES_SHOWN])}{', …' if len(names) > _NAMES_SHOWN else ''})"
        for names, what in ((missing, "migration(s) missing"), (different, "function(s) missing or of another text"))
        if names
    ]
    if not found:
        return Finding("database", Result.RIGHT, "it answers, and has the schema of this program")
    return Finding(
        "database",
        Result.WRONG,
        f"it answers, and its schema is not that of this program: {', '.join(found)}",
        'run "outbox migrate" with a user who may create schemas',
    )


def lanes(configured: int, actual: int) -> Finding:
    """Judge the number of lanes; a relay that is set to another one ends."""
    if configured == actual:
        return Finding("lanes", Result.RIGHT, f"{actual}, as relay.lanes says")
    return Finding(
        "lanes",
        Result.WRONG,
        f"the outbox has {actual} lane(s) in this database, and relay.lanes is {configured}: a relay would end with 78",
        f'set relay.lanes (OUTBOX_RELAY_LANES) to {actual}, or run "outbox lanes set {configured}"',
    )


def cursor(home: CursorHome) -> Finding:
    """Judge whether a relay that takes the lead here would publish, or wait for a person."""
    found, recollection = " ".join(findings(home)), home.recollection
    if not found and recollection.problem is None:
        return Finding("cursor", Result.RIGHT, "it belongs to this server")
    if recollection.problem is not None and (not found or has_only_failed_over(home)):
        said = found or "The cursor belongs to this server."
        return Finding(
            "cursor",
            Result.UNSEEN,
            f"{said} Whether all that was published is here could not be asked of the broker: {recollection.problem}",
        )
    if has_only_failed_over(home) and recollection.remembered:
        return Finding("cursor", Result.NOTE, f"{found} Nothing that was published is lost: a relay goes on by itself.")
    return Finding(
        "cursor",
        Result.WRONG,
        f"{found} A relay publishes nothing until a person decides.",
        'run "outbox rebase": it shows what is certain and what is not, and changes nothing',
    )


def target(flow: str, connection: str, answer: Reached | NotTold | None) -> Finding:
    """Judge what a flow's target has answered. That one is away for now is no fault: its flow waits for it."""
    subject = f"target of {flow}"
    match answer:
        case None:
            return Finding(subject, Result.NOTE, f"{connection} was not asked: adapter.check has no question")
        case Reached(None):
            return Finding(subject, Result.RIGHT, f"{connection} answers and takes our credentials")
        case Reached(version):
            return Finding(subject, Result.RIGHT, f"{connection} answers and takes our credentials; version {version}")
        case NotTold(TargetDown(reason) | Throttled(reason)):
            return Finding(subject, Result.NOTE, f"{connection}: {reason}")
        case NotTold(outcome):
            step = f"see connections.{connection} and adapter.check of {flow} in the settings"
            return Finding(subject, Result.WRONG, f"{connection}: {outcome.reason}", step)


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


def intake_clock(ahead_seconds: float, windows: Mapping[str, float]) -> Finding:
    """Judge the clock that decides whether a signed time is near enough to be believed.

    Args:
        ahead_seconds: by how much the database's clock is ahead of this machine's at least; behind, if negative.
        windows: of each source that signs the time, how far that may be from the database's clock.
    """
    off_seconds, side = abs(ahead_seconds), "ahead of" if ahead_seconds > 0 else "behind"
    refused = [name for name, window_seconds in windows.items() if off_seconds > window_seconds]
    narrow = [name for name, window_seconds in windows.items() if off_seconds > window_seconds / 2]
    found = "the database's is as this machine's"
    if off_seconds:
        found = f"the database's is {off_seconds:.3g} s {side} this machine's"
    step = "compare both machines with a time server"
    if refused:
        told = f"{found}: if this machine's is right, every request of {', '.join(refused)} is refused by its time"
        return Finding("intake clock", Result.WRONG, told, step)
    if narrow:
        told = f"{found}, more than half of the replay_window of {', '.join(narrow)}"
        return Finding("intake clock", Result.NOTE, told, step)
    return Finding("intake clock", Result.RIGHT, f"{found}, well within every replay_window")


def _days(seconds: float) -> str:
    return f"{seconds / 86_400:.3g} days"


def _whole_days(seconds: float) -> str:
    return f"{-(-seconds // 86_400):.0f}d"
