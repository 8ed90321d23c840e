"""Verbs for events that cannot become messages: ``rejected list``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from outbox.cli.common import ConfigOption, JsonOption, output, run, settings_of
from outbox.postgres.rejected import RejectedGroup, read_rejected
from outbox.wiring import postgres_server

_REJECTED = "Events that cannot become messages; everything behind them was published."
_LIST = """\
Show rejected events by type and cause. Their payloads stay in outbox.event; a copy of the reason is in the queue
outbox.rejected. When the cause is gone, write the event again: it gets a new id and its place behind what came since.

Examples: outbox rejected list · outbox rejected list --json
"""


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    group = typer.Typer(help=_REJECTED, no_args_is_help=True)
    group.command("list", help=_LIST)(_list)
    # A group with one command would become that command.
    group.callback()(lambda: None)
    app.add_typer(group, name="rejected")


def _list(
    config: ConfigOption = None,
    most: Annotated[int, typer.Option("--most", min=1, help="How many are looked at, newest first.")] = 10_000,
    as_json: JsonOption = False,
) -> None:
    server = postgres_server(settings_of(config), name="outbox-rejected")

    async def work() -> list[RejectedGroup]:
        return await read_rejected(server, most)

    groups = run(work)
    if as_json:
        output.print_json(data=[asdict(group) for group in groups])
        return
    table = Table("type", "reason of the newest", "events", "keys", "last, UTC", "sequences", title="Rejected events")
    for group in groups:
        table.add_row(
            escape(group.type),
            escape(group.newest_reason),
            str(group.events),
            str(group.keys),
            group.last_at[:19],
            ", ".join(map(str, group.newest_sequences)),
        )
    output.print(table)
