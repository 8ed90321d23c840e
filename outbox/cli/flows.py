"""``outbox flows``: the inventory of integrations, out of the settings alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from outbox.cli.common import ConfigOption, errors, output, settings_of
from outbox.config.inventory import Integration, inventory
from outbox.model.errors import ExitCode

_FLOWS = """\
List the integrations of the settings file: what each is for, who answers for it, what is promised, what happens when it
goes wrong. Needs no server.

A flow without an owner, an alert or a decision on dead letters is a warning; --strict makes it an error.

Examples: outbox flows · outbox flows --format markdown > integrations.md · outbox flows --format csv · outbox flows
--strict (in a pipeline; ends with 1)
"""


class Format(StrEnum):
    """How the inventory is written."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"
    CSV = "csv"


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command("flows", help=_FLOWS)(_flows)


def _flows(
    config: ConfigOption = None,
    as_format: Annotated[Format, typer.Option("--format", help="For people or for programs.")] = Format.TABLE,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 when there is a warning.")] = False,
) -> None:
    found = inventory(settings_of(config))
    writers: Mapping[Format, Callable[[Sequence[Integration]], None]] = {
        Format.TABLE: lambda flows: output.print(_table(flows)),
        Format.MARKDOWN: lambda flows: typer.echo(_markdown(flows), nl=False),
        Format.JSON: lambda flows: output.print_json(data=[asdict(flow) for flow in flows]),
        Format.CSV: lambda flows: typer.echo(_csv(flows), nl=False),
    }
    writers[as_format](found)
    warnings = [(flow.flow, warning) for flow in found for warning in flow.warnings]
    for name, warning in warnings:
        errors.print(f"[yellow]warning:[/] {escape(name)}: {escape(warning)}")
    if strict and warnings:
        errors.print(f"[bold red]error:[/] {len(warnings)} warning(s), and --strict allows none")
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _table(flows: Sequence[Integration]) -> Table:
    table = Table(title="Integrations")
    # Names are copied from here.
    table.add_column("flow", no_wrap=True)
    for heading in (
        "what for",
        "events",
        "target",
        "owner",
        "late after",
        "alerts to",
        "reconciled",
        "dead letters",
    ):
        table.add_column(heading, overflow="fold")
    for flow in flows:
        owner = " / ".join(filter(None, (flow.business_owner, flow.technical_owner)))
        table.add_row(
            *(
                escape(text)
                for text in (
                    flow.flow,
                    flow.description,
                    flow.events,
                    f"{flow.connection} ({flow.adapter})",
                    owner or "nobody",
                    flow.late_after or "never",
                    flow.alerts_to or "logs only",
                    flow.reconciled or "on request",
                    flow.dead_letters,
                )
            )
        )
    return table


def _markdown(flows: Sequence[Integration]) -> str:
    """Return a section for each flow: more columns than fit into one line that people read."""
    text = io.StringIO()
    text.write("# Integrations\n")
    for flow in flows:
        text.write(f"\n## {_line(flow.flow)}\n\n{_line(flow.description)}\n\n| | |\n|---|---|\n")
        for heading, value in _rows(flow):
            text.write(f"| {heading} | {_line(value).replace('|', chr(92) + '|')} |\n")
        for warning in flow.warnings:
            text.write(f"\n> **Warning:** {_line(warning)}\n")
    return text.getvalue()


def _rows(flow: Integration) -> list[tuple[str, str]]:
    left_out = {"flow", "description", "warnings"}
    return [
        (field.name.replace("_", " "), getattr(flow, field.name))
        for field in fields(flow)
        if field.name not in left_out
    ]


def _csv(flows: Sequence[Integration]) -> str:
    """Return RFC 4180 text: commas, quotes where needed, CRLF."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Integration)])
    writer.writeheader()
    for flow in flows:
        writer.writerow(asdict(flow) | {"warnings": "; ".join(flow.warnings)})
    return text.getvalue()


def _line(text: str) -> str:
    return " ".join(text.split())
