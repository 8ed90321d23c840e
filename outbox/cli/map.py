"""The verb ``map``: what a mapping makes of a sample, where each value came from, what another one would change."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from outbox.cli.common import ConfigOption, errors, fail, output, settings_of, usage_problem
from outbox.cli.map_diff import Look, show_difference
from outbox.config.problems import did_you_mean
from outbox.config.settings import Flow, Settings
from outbox.flow.document import kind_of
from outbox.flow.mapping import Mapping, Trace
from outbox.flow.mapping_rules import rules_of
from outbox.flow.placeholders import placeholders
from outbox.model.errors import ExitCode, MappingError, Misconfigured
from outbox.model.exact_json import exact_json, exact_number
from outbox.model.mapping import MISSING

# No event is larger.
_MAX_SAMPLE_BYTES = 128 * 1024 * 1024
_MAX_CELL_CHARACTERS = 60
_STDIN = Path("-")

_MAP = """\
Show the document that a flow's mapping makes of a sample, and with --explain where each value came from. Nothing is
sent, and neither database nor broker is asked: ids of other systems (xref) are shown as <what would be looked up>.

With --diff it shows instead what another mapping would change for the last events of the outbox: how many documents per
field, with the ids of some events, and which events would become dead letters. NEW is a file with rules, or settings
with this flow in them. Only this reads the database (as outbox_adapter or outbox_relay), in small statements.

Ends with 1 when the sample cannot be mapped, and when --diff finds a difference.

Examples: outbox map orders-to-crm order.json · outbox map orders-to-crm - --explain < order.json ·
outbox map orders-to-crm --diff mappings/order_to_deal.new.yaml --last 500
"""


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command("map", help=_MAP)(_map)


def _map(  # noqa: PLR0917 - one for each option
    name: Annotated[str, typer.Argument(metavar="FLOW", help="The flow whose mapping it is.")],
    sample: Annotated[Path | None, typer.Argument(metavar="SAMPLE", help="A file with a payload; - is stdin.")] = None,
    config: ConfigOption = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show where each value came from.")] = False,
    form: Annotated[
        Literal["table", "json"] | None,
        typer.Option("--format", help="A table for people or JSON for programs; else what fits."),
    ] = None,
    new: Annotated[
        Path | None, typer.Option("--diff", metavar="NEW", help="Compare with this mapping instead of a sample.")
    ] = None,
    last: Annotated[int, typer.Option("--last", min=1, max=10_000, help="How many events --diff compares.")] = 100,
    event_type: Annotated[
        str | None, typer.Option("--type", metavar="PATTERN", help="Only these types; * is one word, # any number.")
    ] = None,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="With --diff on a terminal: values of some events, before and after.")
    ] = False,
) -> None:
    settings = settings_of(config)
    flow = _flow(settings, name)
    if new is not None:
        if sample is not None or explain:
            usage_problem("--diff compares events of the outbox: give neither a sample nor --explain")
        look = Look(config, last, event_type, is_json=form == "json", shows_values=show_values)
        show_difference(settings, name, new, look)
        return
    if sample is None:
        usage_problem("give a file with a sample payload, - for stdin, or --diff NEW")
    payload = _payload(sample)
    mapping = mapping_of(flow)
    try:
        known = dict(placeholders(mapping, payload))
        document, traces = mapping.explain(payload, known)
        shown = written(document)
    except MappingError as error:
        errors.print(f"[bold red]error:[/] flow {escape(name)}: {escape(str(error))}")
        raise typer.Exit(ExitCode.CHECK_FAILED) from None
    if form == "json" and explain:
        typer.echo(written({"document": document, "fields": [_told(trace) for trace in traces]}))
    elif form == "table" or (explain and form is None):
        _table(name, traces)
    else:
        typer.echo(shown)
    if known:
        errors.print(f"{len(known)} ids of other systems would be looked up; <…> stands for them")


def mapping_of(flow: Flow) -> Mapping:
    """Return a flow's mapping, or end with what is wrong with it."""
    try:
        return Mapping.compile(rules_of(flow.mapping))
    except Misconfigured as error:
        fail(error)


def written(document: object) -> str:
    """Write JSON for people, every digit of it.

    Raises:
        MappingError: JSON cannot say it.
    """
    try:
        return orjson.dumps(document, default=exact_number, option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONEncodeError as error:
        raise MappingError("(document)", f"cannot be written as JSON: {error}") from None


def _flow(settings: Settings, name: str) -> Flow:
    if name not in settings.flows:
        known = f"known are {', '.join(settings.flows)}" if settings.flows else "the settings have no flows"
        usage_problem(f"there is no flow {name!r}; {did_you_mean(name, list(settings.flows)) or known}")
    return settings.flows[name]


def _payload(sample: Path) -> bytes:
    try:
        if sample == _STDIN:
            payload = sys.stdin.buffer.read(_MAX_SAMPLE_BYTES + 1)
        else:
            with sample.open("rb") as file:
                payload = file.read(_MAX_SAMPLE_BYTES + 1)
    except OSError as error:
        usage_problem(f"cannot read the sample {sample}: {error.strerror}")
    if len(payload) > _MAX_SAMPLE_BYTES:
        usage_problem(f"the sample is larger than {_MAX_SAMPLE_BYTES // 1024**2} MiB, which no event is")
    return payload


def _told(trace: Trace) -> dict[str, object]:
    told: dict[str, object] = {"target": trace.target, "origin": trace.origin, "source": trace.source}
    told["transforms"] = list(trace.steps)
    if trace.found is not MISSING:
        told["found"] = trace.found
    if trace.value is not MISSING:
        told["value"] = trace.value
    return told


def _table(name: str, traces: Sequence[Trace]) -> None:
    if not traces:
        output.print(f"{escape(name)} has no mapping: the payload goes out as it is")
        return
    table = Table(title=f"Mapping of {escape(name)}")
    for heading in ("target", "value", "origin", "source", "found", "transforms"):
        # A path that is cut off names nothing.
        table.add_column(heading, overflow="fold")
    for trace in traces:
        table.add_row(
            escape(trace.target),
            _cell(trace.value),
            trace.origin,
            escape(trace.source or ""),
            _cell(trace.found),
            " → ".join(trace.steps),
        )
    output.print(table)


def _cell(value: object) -> str:
    if value is MISSING:
        return ""
    if isinstance(value, list | dict) and value:
        return f"{kind_of(value)} of {len(value)}"
    text = exact_json(value)
    return escape(text if len(text) <= _MAX_CELL_CHARACTERS else text[: _MAX_CELL_CHARACTERS - 1] + "…")
