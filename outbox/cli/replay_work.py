"""Carries a replay out: counts what it would take, refuses what nobody can know, goes on step by step to the end."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

import typer
from rich.markup import escape
from rich.table import Table

from outbox.cli.common import errors, output, run
from outbox.model.circuit import CircuitState
from outbox.model.errors import ExitCode
from outbox.model.replay import Horizon, ReplayProgress, Selection, most_waiting
from outbox.postgres.replay import ReplaySession
from outbox.supervisor import Stop

_BATCH = 500
# How often is looked whether there is room again.
_ROOM_SECONDS = 0.5
# The memory's edge moves with the clock: a command that is typed from a message must still be behind it.
_TO_TYPE = timedelta(hours=1)
_LEFT_OUT = {
    "skipped": "skipped by a person; --skipped takes them too",
    "discarded": "discarded by a person; --skipped takes them too",
    "stale": "skipped because a later event of their key was there before; --skipped takes them too",
    "overtaken": "of whose keys a later event took effect that is not asked for: --stale takes them too",
    "rejected": "never published, and for a reason: outbox rejected list; write them again once it is gone",
    "happened": "noted as applied by a person; --happened takes them too",
}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a replay stands when its command ends. ``circuit``: of its flow."""

    number: int
    progress: ReplayProgress
    circuit: CircuitState


@dataclass(slots=True)
class _Found:
    horizon: Horizon
    looked_at: int
    edited: int
    by_type: Counter[str]
    left_out: Counter[str]


def look(opening: AbstractAsyncContextManager[ReplaySession], selection: Selection, *, as_json: bool) -> None:
    """Show what would be replayed."""

    async def work() -> _Found:
        async with opening as session:
            horizon = await session.horizon()
            check_horizon(horizon, selection)
            found, after = _Found(horizon, 0, 0, Counter(), Counter()), 0
            while True:
                some = await session.candidates(selection, after)
                if some.upto is None:
                    return found
                found.by_type.update(some.by_type)
                found.left_out.update(some.left_out)
                found.edited += some.edited
                found.looked_at += some.looked_at
                after = some.upto
                if not as_json and errors.is_terminal:
                    errors.print(f"looked at {found.looked_at:,}, found {found.by_type.total():,}", end="\r")

    found = run(work)
    is_cut_off = found.horizon.is_cut_off(selection.since)
    if as_json:
        output.print_json(
            data={
                "is_dry_run": True,
                "looked_at": found.looked_at,
                "would_be_replayed": dict(found.by_type),
                "edited": found.edited,
                "left_out": dict(found.left_out),
                "is_cut_off": is_cut_off,
                "oldest": None if found.horizon.oldest is None else found.horizon.oldest.isoformat(),
            }
        )
        return
    # Not as the table's title, which would be broken to the width of the table.
    output.print(
        f"{escape(selection.flow)}: would be applied again, of {found.looked_at:,} events looked at", soft_wrap=True
    )
    table = Table("type")
    table.add_column("events", justify="right")
    for name, events in sorted(found.by_type.items()):
        table.add_row(escape(name), f"{events:,}")
    output.print(table)
    if found.edited:
        output.print(f"{found.edited:,} of them as they were edited")
    for reason, events in sorted(found.left_out.items()):
        output.print(f"left out: {events:,} {_LEFT_OUT[reason]}", soft_wrap=True)
    if is_cut_off:
        output.print(f"not among them is what retention has removed: {_oldest(found.horizon)}", soft_wrap=True)
    if found.by_type:
        output.print("nothing was changed; next step: the same with --why and --yes")


def check_horizon(horizon: Horizon, selection: Selection) -> None:
    """End when a part of what is asked for is gone, or when nobody knows whether the flow had it."""
    if selection.since is not None and horizon.refuses(selection.since):
        _refuse(
            f"events from {_shown(selection.since)} on cannot be replayed: retention has removed some of them"
            f" ({_oldest(horizon)})",
            "replay from a later time, and let the application write what is missing before it; a larger"
            " retention.keep helps the next time",
        )
    if selection.missing_only and horizon.is_forgotten(selection.since):
        _refuse(
            f"of events before {_shown(horizon.remembered_from)} nobody knows whether {selection.flow} never had them:"
            " the inbox has forgotten what was finished before, and would apply it a second time",
            f"say --since {_shown(horizon.remembered_from + _TO_TYPE)} or later; of what is older, let the application"
            " write anew what the target lacks",
        )


async def go_on(
    session: ReplaySession,
    number: int,
    rate_per_s: float | None,
    replayed: int,
    max_waiting: int,
    *,
    is_quiet: bool,
) -> Ended:
    """Replay step by step to the end.

    Args:
        session: its connection.
        number: of the replay.
        rate_per_s: events per second; None: as many as there is room for.
        replayed: how much was put into the inbox before.
        max_waiting: deliveries of the flow that may wait for a call before its intake stops.
        is_quiet: whether a terminal sees how far it is.
    """
    never = Stop()
    batch = _BATCH if rate_per_s is None else max(min(int(rate_per_s), _BATCH), 1)
    was_waiting = False
    while True:
        progress = await session.step(number, batch, most_waiting(max_waiting))
        if progress.state != "running":
            return Ended(number, progress, await session.circuit(number))
        if progress.is_waiting:
            if not was_waiting:
                errors.print(
                    f"replay {number} waits: {most_waiting(max_waiting):,} deliveries of its flow wait for their calls,"
                    " half of inbox.max_waiting; the other half is for new events"
                )
            await never.pause(_ROOM_SECONDS)
        elif not is_quiet and errors.is_terminal:
            errors.print(f"looked at {progress.looked_at:,}, replayed {progress.replayed:,}", end="\r")
        was_waiting = progress.is_waiting
        if rate_per_s is not None and progress.replayed > replayed:
            await never.pause((progress.replayed - replayed) / rate_per_s)
        replayed = progress.replayed


def tell(ended: Ended, *, as_json: bool) -> None:
    """Say how it has ended."""
    progress = ended.progress
    if as_json:
        output.print_json(
            data={
                "replay": ended.number,
                "state": progress.state,
                "looked_at": progress.looked_at,
                "replayed": progress.replayed,
                "circuit": ended.circuit.value,
            }
        )
        return
    what_now = (
        "and are applied now"
        if ended.circuit is CircuitState.CLOSED
        else f"and wait there: the circuit of the flow is {ended.circuit.value.replace('_', ' ')}, see outbox circuit"
    )
    output.print(
        f"replay {ended.number} is {progress.state}: {progress.replayed:,} events are in the inbox {what_now}",
        soft_wrap=True,
    )


def _refuse(problem: str, next_step: str) -> None:
    errors.print(f"[bold red]error:[/] {escape(problem)}\n  next step: {escape(next_step)}")
    raise typer.Exit(ExitCode.CHECK_FAILED)


def _oldest(horizon: Horizon) -> str:
    return "no event is left" if horizon.oldest is None else f"the oldest is of {_shown(horizon.oldest)}"


def _shown(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S%z}"
