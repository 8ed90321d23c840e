"""Verbs that only look: ``status``, ``config``."""

from __future__ import annotations

import json
from dataclasses import asdict

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from adapters.registry import ADAPTERS
from outbox.cli.common import ConfigOption, JsonOption, output, run, settings_of
from outbox.config.schema import settings_schema
from outbox.config.show import effective, effective_yaml
from outbox.model.circuit import CircuitState
from outbox.model.exact_json import exact_number
from outbox.model.reconciliation import Verdict
from outbox.postgres.processes import ProcessStatus, read_processes
from outbox.postgres.reconcile import LastReconciliation, ReconcileStore
from outbox.postgres.status import COUNT_UP_TO, FlowStatus, LaneStatus, StreamStatus, read_status
from outbox.wiring import STREAM, postgres_server

_STATUS = """\
Show how far events are published, where deliveries stand, per flow, and by which settings processes run. Counts stop at
10000.

Examples: outbox status · outbox status --json
"""
_CONFIG = """\
Check the settings and show the effective ones, secrets masked.

Examples: outbox config · outbox config --json · outbox config schema > outbox.schema.json
"""
_SCHEMA = """\
Print the form of the settings file as JSON Schema (2020-12), with the settings of every adapter.

Editors complete and check a file that begins with "# yaml-language-server: $schema=outbox.schema.json".

Example: outbox config schema > outbox.schema.json
"""


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command("status", help=_STATUS)(_status)
    group = typer.Typer(help=_CONFIG)
    group.callback(invoke_without_command=True)(_config)
    group.command("schema", help=_SCHEMA)(_schema)
    app.add_typer(group, name="config")


def _status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    server = postgres_server(settings_of(config), name="outbox-status")

    async def work() -> tuple[
        tuple[StreamStatus, list[LaneStatus], list[FlowStatus]], list[LastReconciliation], list[ProcessStatus]
    ]:
        async with ReconcileStore(server).session() as session:
            return await read_status(server, STREAM), await session.last(), await read_processes(server)

    (stream, lanes, flows), totals, processes = run(work)
    if as_json:
        output.print_json(
            data={
                "stream": asdict(stream),
                "lanes": [asdict(lane) for lane in lanes],
                "flows": [asdict(flow) for flow in flows],
                "totals": [one.result for one in totals],
                "processes": [asdict(process) for process in processes],
            }
        )
        return
    output.print(_stream_table(stream, lanes))
    if flows:
        output.print(_flow_table(flows))
    for flow in flows:
        told = _circuit(flow)
        if told is not None:
            output.print(f"{flow.flow}: {escape(told)}", soft_wrap=True)
        if flow.awaits is not None:
            waits = f"{_count(flow.awaiting)} wait for ids of other systems, the oldest for {flow.awaits}"
            output.print(f"{flow.flow}: {escape(waits)}", soft_wrap=True)
        if flow.last_reason is not None:
            output.print(f"{flow.flow}, last trouble: {escape(flow.last_reason)}", soft_wrap=True)
    for one in totals:
        output.print(escape(_totals(one)), soft_wrap=True)
    if processes:
        output.print(_process_table(processes))
    for refusal, names in _refusals(processes).items():
        output.print(f"[red]newer settings are refused[/] by {', '.join(names)}:", soft_wrap=True)
        output.print(escape(refusal), soft_wrap=True)


def _config(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    if context.invoked_subcommand is not None:
        return
    settings = settings_of(config)
    if as_json:
        # The table's printer would make floats of fractions.
        typer.echo(orjson.dumps(effective(settings), default=exact_number, option=orjson.OPT_INDENT_2))
    else:
        typer.echo(effective_yaml(settings), nl=False)


def _schema() -> None:
    schema = settings_schema({name: kind.settings for name, kind in ADAPTERS.items()})
    typer.echo(json.dumps(schema, indent=2, ensure_ascii=False))


def _stream_table(stream: StreamStatus, lanes: list[LaneStatus]) -> Table:
    table = Table("stream", "leader", "epoch", "waiting", "oldest", "cursor saved", "rejected", title="Outbox")
    for lane in lanes:
        table.add_row(
            lane.stream,
            "yes" if lane.is_led else "[red]none[/]",
            str(lane.epoch),
            _count(lane.waiting),
            age(lane.oldest_age_seconds),
            f"{age(lane.saved_age_seconds)} ago",
            # Of all lanes together, so told once.
            _count(stream.rejected) if lane is lanes[0] else "",
        )
    return table


def _flow_table(flows: list[FlowStatus]) -> Table:
    table = Table(title="Inbox: unfinished deliveries")
    table.add_column("flow", no_wrap=True)
    for heading in ("ready", "applying", "retry", "doubt", "blocked", "dead", "oldest", "lanes"):
        table.add_column(heading, justify="right")
    for flow in flows:
        table.add_row(
            flow.flow,
            *(_count(n) for n in (flow.ready, flow.applying, flow.retry, flow.in_doubt, flow.blocked, flow.dead)),
            age(flow.oldest_due_age_seconds),
            f"{flow.lanes_leased}/{flow.lanes}",
        )
    return table


def _process_table(processes: list[ProcessStatus]) -> Table:
    table = Table("process", "program", "settings", "in effect for", "newer ones", title="Processes")
    for process in processes:
        is_refused = process.refused_age_seconds is not None
        newer = f"[red]refused {age(process.refused_age_seconds or 0.0)} ago[/]" if is_refused else "none"
        table.add_row(process.name, process.program, process.settings_hash, age(process.settings_age_seconds), newer)
    return table


def _refusals(processes: list[ProcessStatus]) -> dict[str, list[str]]:
    """Return who refuses for which reason: processes with the same files say the same."""
    refusals: dict[str, list[str]] = {}
    for process in processes:
        if process.refusal is not None:
            refusals.setdefault(process.refusal, []).append(process.name)
    return refusals


def _circuit(flow: FlowStatus) -> str | None:
    """Say why nothing is called; None when it is."""
    if flow.circuit != CircuitState.CLOSED:
        seconds = flow.circuit_seconds
        probe = "until a person closes it" if seconds is None else f"next probe in {age(max(seconds, 0.0))}"
        close = f'"outbox circuit close {flow.flow} --why …"'
        step = f"; next step: mend the cause, then {close}" if flow.needs_a_person else ""
        return f"circuit {flow.circuit.replace('_', ' ')}, {probe}: {flow.circuit_reason}{step}"
    if flow.throttled_seconds:
        return f"the target throttles, for another {age(flow.throttled_seconds)}"
    return None


def _totals(last: LastReconciliation) -> str:
    """Say how the newest window of a flow came out."""
    window = f"of {last.since:%Y-%m-%d %H:%M}Z to {last.until:%Y-%m-%d %H:%M}Z"
    is_over = last.verdict == Verdict.UNTOLD
    span = f" --from {last.since:%Y-%m-%dT%H:%M:%SZ} --to {last.until:%Y-%m-%dT%H:%M:%SZ}" if is_over else ""
    step = "" if last.verdict == Verdict.AGREES else f'; next step: "outbox reconcile --flow {last.flow}{span}"'
    totals = last.result.get("totals")
    is_asked = isinstance(totals, list) and any(total["place"] == "target" for total in totals)
    told = {
        Verdict.AGREES: "agree" if is_asked else "agree as far as the inbox; the target was not asked",
        Verdict.LATE: "lack what waits or is parked",
        Verdict.DISAGREES: "disagree",
        Verdict.UNTOLD: "were never told by the target and are given up",
    }[last.verdict]
    return f"{last.flow}: the totals {window} {told}{step}"


def _count(number: int) -> str:
    return f"{COUNT_UP_TO}+" if number >= COUNT_UP_TO else str(number)


def age(seconds: float) -> str:
    """Write a time as people read it."""
    for limit, unit_seconds, unit in ((120, 1, "s"), (7200, 60, "m"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit_seconds:.1f} {unit}"
    return f"{seconds / 86_400:.1f} d"
