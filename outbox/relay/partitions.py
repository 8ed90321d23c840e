"""Keeps the partitions of the outbox table up: closed, created ahead, opened, emptied, dropped.

Every step is safe to repeat, to run twice at once and to be killed in; the database decides each of them again under
its own locks. Publishing never waits for it, and goes on when it fails.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from outbox.model.lifecycle import PartitionChanged, PartitionPostponed, PartitionsSeen, Report
from outbox.model.partitions import (
    Partition,
    PartitionStep,
    Retention,
    StepTaken,
    ahead_of,
    is_default_used,
    oldest_age_seconds,
)
from outbox.supervisor import Pulse, Stop

# Idempotency keys forgotten in one statement: no longer than a page of events takes to insert.
_FORGOTTEN_AT_ONCE = 1000
# A lock is never queued for; the moments in which nobody holds it are short and many.
_TRIES = 20
_PAUSE_SECONDS = 0.05


class _Session(Protocol):
    """The database as upkeep needs it."""

    async def take(self, step: PartitionStep, retention: Retention, *, is_dry_run: bool = False) -> list[StepTaken]: ...
    async def survey(self) -> list[Partition]: ...
    async def forget_emitted(self, retention: Retention, max_keys: int) -> int: ...


class _Store(Protocol):
    """Opens connections for upkeep."""

    @property
    def stream(self) -> str: ...
    def session(self) -> AbstractAsyncContextManager[_Session]: ...


@dataclass(frozen=True, slots=True)
class Taken:
    """A step and what came of it for one partition."""

    step: PartitionStep
    partition: str | None
    size_bytes: int | None
    postponed: str | None


async def keep_up(
    session: _Session,
    retention: Retention,
    stop: Stop,
    tell: Callable[[Taken], None],
    *,
    is_dry_run: bool = False,
    tries: int = _TRIES,
) -> None:
    """Do everything that is due now, and tell it while it happens; what is postponed is told at the end of its step.

    Raises:
        Unavailable: the database is away, or somebody else is at it.
        Misconfigured: a person must act.
    """
    while not (is_dry_run or stop.is_set()):
        if await session.forget_emitted(retention, _FORGOTTEN_AT_ONCE) < _FORGOTTEN_AT_ONCE:
            break
    for step in PartitionStep:
        tries_left = 1 if is_dry_run else tries
        while tries_left and not stop.is_set():
            results = await session.take(step, retention, is_dry_run=is_dry_run)
            postponed = [result for result in results if result.postponed is not None]
            for result in results:
                if result.postponed is None:
                    tell(Taken(step, result.partition, result.size_bytes, None))
            if results and not postponed and step is PartitionStep.DROPPED and not is_dry_run:
                # One at a time, because inserts wait for each.
                continue
            tries_left -= 1
            if not postponed:
                break
            if tries_left:
                await stop.pause(_PAUSE_SECONDS)
            else:
                for result in postponed:
                    tell(Taken(step, result.partition, result.size_bytes, result.postponed))


class PartitionKeeper:
    """Keeps the partitions up while a relay runs. Several may: each step is taken by whoever comes first."""

    def __init__(self, store: _Store, retention: Retention, *, check_every_seconds: float, report: Report) -> None:
        self._store = store
        self._retention = retention
        self._check_every_seconds = check_every_seconds
        self._report = report
        self._postponed: set[tuple[PartitionStep, str | None]] = set()

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Look every now and then until stopped.

        Raises:
            Unavailable: the database is away.
            Misconfigured: a person must act; it is tried again, and publishing goes on.
        """
        # From here on nothing that is wrong with upkeep may end the process.
        pulse.establish()
        while not stop.is_set():
            pulse.beat()
            async with self._store.session() as session:
                await keep_up(session, self._retention, stop, self._tell)
                partitions = await session.survey()
            self._report(
                PartitionsSeen(
                    self._store.stream,
                    ahead_of(partitions),
                    oldest_age_seconds(partitions),
                    is_default_used(partitions),
                )
            )
            await stop.pause(self._check_every_seconds)

    def _tell(self, taken: Taken) -> None:
        name = taken.partition or "outbox.event"
        subject = (taken.step, taken.partition)
        if taken.postponed is None:
            self._postponed.discard(subject)
            self._report(PartitionChanged(self._store.stream, name, taken.step, taken.size_bytes or 0))
        elif subject not in self._postponed:
            # Once, not every minute of the weeks that somebody's transaction may be open.
            self._postponed.add(subject)
            self._report(PartitionPostponed(self._store.stream, name, taken.step, taken.postponed))
