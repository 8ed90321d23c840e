"""The verbs of retention: ``partitions`` shows, ``partitions maintain`` does what is due."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from outbox.cli.common import ConfigOption, JsonOption, output, run, settings_of
from outbox.model.partitions import Partition, Retention, why_kept
from outbox.postgres.partition_store import PartitionStore
from outbox.relay.partitions import Taken, keep_up
from outbox.supervisor import Stop
from outbox.wiring import STREAM, postgres_server, retention

_PARTITIONS = """\
Show the partitions of the outbox table: which ids they hold, how large they are, and why each is still there.

Examples: outbox partitions · outbox partitions --json · outbox partitions maintain --dry-run
"""
_MAINTAIN = """\
Close, create, open, empty and drop what is due now. A running relay does this by itself; this is for a schedule of your
own, for example with another user. Safe to repeat, also at the same time.

Examples: outbox partitions maintain --dry-run · outbox partitions maintain
"""


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    group = typer.Typer(help=_PARTITIONS)
    group.callback(invoke_without_command=True)(_partitions)
    group.command("maintain", help=_MAINTAIN)(_maintain)
    app.add_typer(group, name="partitions")


def _partitions(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    if context.invoked_subcommand is not None:
        return
    settings = settings_of(config)
    store = PartitionStore(postgres_server(settings, name="outbox-partitions"), stream=STREAM)

    async def work() -> list[Partition]:
        async with store.session() as session:
            return await session.survey()

    partitions, kept = run(work), retention(settings)
    if as_json:
        output.print_json(
            data=[asdict(partition) | {"why_kept": why_kept(partition, kept)} for partition in partitions], default=str
        )
        return
    output.print(_table(partitions))
    for reason, names in _reasons(partitions, kept).items():
        output.print(f"{', '.join(names)}: {reason}", soft_wrap=True)


def _maintain(
    config: ConfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what is due, and change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    settings = settings_of(config)
    store = PartitionStore(postgres_server(settings, name="outbox-partitions"), stream=STREAM)
    taken: list[Taken] = []

    def tell(step: Taken) -> None:
        taken.append(step)
        if not as_json:
            output.print(_sentence(step, is_dry_run=dry_run), soft_wrap=True)

    async def work() -> None:
        async with store.session() as session:
            await keep_up(session, retention(settings), Stop(), tell, is_dry_run=dry_run)

    run(work)
    if as_json:
        output.print_json(data={"is_dry_run": dry_run, "steps": [asdict(step) for step in taken]})
    elif not taken:
        output.print("nothing is due")


def _sentence(taken: Taken, *, is_dry_run: bool) -> str:
    name = taken.partition or "outbox.event"
    if taken.postponed is not None:
        return f"{name}: not {taken.step} yet, {escape(taken.postponed)}"
    size = f", {_size(taken.size_bytes)}" if taken.size_bytes else ""
    return f"{name}: {'would be ' if is_dry_run else ''}{taken.step}{size}"


def _table(partitions: list[Partition]) -> Table:
    table = Table(title="Partitions of outbox.event", box=SIMPLE, padding=(0, 1), show_edge=False)
    for heading in ("partition", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("from id", "opened", "closed", "size", "rows"):
        table.add_column(heading, justify="right", no_wrap=True)
    for partition in partitions:
        table.add_row(
            partition.name,
            partition.state,
            "" if partition.low is None else str(partition.low),
            f"{partition.opened_at:%Y-%m-%d}" if partition.opened_at else "",
            f"{partition.closed_at:%Y-%m-%d}" if partition.closed_at else "",
            _size(partition.size_bytes or 0),
            f"~{partition.estimated_rows or 0}",
        )
    return table


def _reasons(partitions: list[Partition], kept: Retention) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for partition in partitions:
        reasons.setdefault(why_kept(partition, kept), []).append(partition.name)
    return reasons


def _size(count: int) -> str:
    for limit, size, unit in ((10_240, 1, "B"), (10_240 * 1024, 1024, "KiB"), (10_240 * 1024**2, 1024**2, "MiB")):
        if count < limit:
            return f"{count // size} {unit}"
    return f"{count // 1024**3} GiB"
