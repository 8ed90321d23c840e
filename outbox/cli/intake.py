"""The verbs of the inbound way: ``intake`` runs it, ``intake refused`` shows what was not taken."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from outbox.app import Roles
from outbox.cli.common import ConfigOption, JsonOption, output, run, settings_of, time_of, usage_problem
from outbox.cli.processes import heard_settings, serve
from outbox.intake.problems import Problem
from outbox.model.intake import RefusedRow
from outbox.model.units import parse_seconds
from outbox.postgres.intake_store import database_time, find_refused
from outbox.wiring import postgres_server

_INTAKE = """\
Take webhooks and commands from outside, on intake.port. Each becomes one event; several processes may run.

Examples: outbox intake --config outbox.yaml · outbox intake refused --source shop --since 2h
"""
_REFUSED = """\
Show requests that were refused, newest first: when, why, from where. Nothing of their bodies is kept. One row stands
for all that were refused for one reason within a second. With --source "" those whose address names no source.

Examples: outbox intake refused --since 2h · outbox intake refused --reason signature-invalid --json
"""


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    group = typer.Typer(help=_INTAKE)
    group.callback(invoke_without_command=True)(_intake)
    group.command("refused", help=_REFUSED)(_refused)
    app.add_typer(group, name="intake")


def _intake(context: typer.Context, config: ConfigOption = None) -> None:
    if context.invoked_subcommand is not None:
        return
    source, settings = heard_settings(config)
    if not settings.intake.is_active:
        usage_problem("there is nobody to listen to: add a source under intake.sources, or a client for commands")
    serve(source, settings, Roles(is_intake=True))


def _refused(
    config: ConfigOption = None,
    source: Annotated[str | None, typer.Option("--source", help="Only this source, or commands.CLIENT.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="ISO 8601 (else UTC), or 2h for two hours ago.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Only this problem, as the answer named it.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=100_000, help="How many rows.")] = 100,
    as_json: JsonOption = False,
) -> None:
    if reason is not None and reason not in set(Problem):
        usage_problem(f"--reason: {reason!r} is none of {', '.join(Problem)}")
    server = postgres_server(settings_of(config), name="outbox-intake-refused")
    seconds = None if since is None else _seconds_ago(since)

    async def work() -> list[RefusedRow]:
        begin: datetime | None = None
        if since is not None:
            # Of the database's clock, by which the rows are dated.
            begin = (
                time_of("--since", since)
                if seconds is None
                else await database_time(server) - timedelta(seconds=seconds)
            )
        return await find_refused(server, source=source, since=begin, reason=reason, most=most)

    rows = run(work)
    if as_json:
        output.print_json(data=[asdict(row) for row in rows])
        return
    table = Table(
        "when, UTC",
        "source",
        Column("reason", no_wrap=True),
        "status",
        "requests",
        "from",
        "detail",
        title="Refused requests",
    )
    for row in rows:
        table.add_row(
            row.refused_at[:19].replace("T", " "),
            escape(row.source) or "(none)",
            escape(row.reason),
            str(row.status),
            str(row.requests),
            escape(row.remote),
            escape(row.detail),
        )
    output.print(table)


def _seconds_ago(text: str) -> float | None:
    if not (text[:1].isdigit() and text[-1:].isalpha() and text[-1:] != "Z"):
        return None
    try:
        seconds = parse_seconds(text)
    except ValueError as error:
        usage_problem(f"--since: {error}")
    return seconds if isinstance(seconds, float) else 0.0
