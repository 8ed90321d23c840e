"""The verbs of a flow's circuit: ``circuit`` shows, ``circuit open`` and ``circuit close`` are a person's word."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from outbox.cli.common import ConfigOption, JsonOption, output, run, settings_of
from outbox.cli.inspect import age
from outbox.model.circuit import CircuitState
from outbox.postgres.circuit import set_circuit
from outbox.postgres.status import FlowStatus, read_status
from outbox.wiring import STREAM, postgres_server

_CIRCUIT = """\
Show whether each flow's target is called. A circuit opens by itself when a target fails, and at once when every call
would fail (refused credentials, a wrong address); probes close it again. Nothing becomes a dead letter meanwhile.

Examples: outbox circuit · outbox circuit open orders-to-crm --why "the CRM moves" · outbox circuit close orders-to-crm
"""
_OPEN = """\
Stop calling a flow's target until "outbox circuit close". Messages are still taken and wait in the inbox, in order.
Calls under way end as they would.

Example: outbox circuit open orders-to-crm --why "CRM is migrated tonight"
"""
_CLOSE = """\
Call a flow's target again at once, whatever had opened its circuit. What has piled up is applied gently: one call at
first, one more for each that goes well. If the cause is still there, the circuit opens again by itself.

Example: outbox circuit close orders-to-crm
"""

_Flow = Annotated[str, typer.Argument(metavar="FLOW", help="Name of the flow.")]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    group = typer.Typer(help=_CIRCUIT)
    group.callback(invoke_without_command=True)(_show)
    group.command("open", help=_OPEN)(_open)
    group.command("close", help=_CLOSE)(_close)
    app.add_typer(group, name="circuit")


def _show(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    if context.invoked_subcommand is not None:
        return
    server = postgres_server(settings_of(config), name="outbox-circuit")

    async def work() -> list[FlowStatus]:
        return (await read_status(server, STREAM))[2]

    flows = run(work)
    if as_json:
        wanted = ("flow", "circuit", "circuit_reason", "circuit_seconds", "needs_a_person", "throttled_seconds")
        output.print_json(data=[{name: asdict(flow)[name] for name in wanted} for flow in flows])
        return
    table = Table("flow", "circuit", "next call", "needs a person", "reason", title="Circuits")
    for flow in flows:
        table.add_row(
            escape(flow.flow),
            flow.circuit if flow.circuit == CircuitState.CLOSED else f"[red]{flow.circuit.replace('_', ' ')}[/]",
            _next_call(flow),
            "[red]yes[/]" if flow.needs_a_person else "no",
            escape(flow.circuit_reason or ""),
        )
    output.print(table)


def _next_call(flow: FlowStatus) -> str:
    if flow.circuit != CircuitState.CLOSED and flow.circuit_seconds is None:
        return "when it is closed"
    seconds = max(flow.circuit_seconds or 0.0, flow.throttled_seconds or 0.0)
    return f"in {age(seconds)}" if seconds > 0 else "now"


def _open(
    flow: _Flow,
    why: Annotated[str, typer.Option("--why", help="The reason, for everyone who looks.", prompt=True)],
    config: ConfigOption = None,
) -> None:
    _set(flow, CircuitState.OPEN, why, config)


def _close(flow: _Flow, config: ConfigOption = None) -> None:
    _set(flow, CircuitState.CLOSED, None, config)


def _set(flow: str, state: CircuitState, why: str | None, config: ConfigOption) -> None:
    server = postgres_server(settings_of(config), name="outbox-circuit")

    async def work() -> CircuitState:
        return await set_circuit(server, flow, state, who=getpass.getuser(), why=why)

    former = run(work)
    output.print(f"{escape(flow)}: circuit {state.value}, it was {former.value.replace('_', ' ')}", soft_wrap=True)
