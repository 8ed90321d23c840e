"""The verbs of a flow's circuit: ``circuit`` shows, ``circuit open`` and ``circuit close`` are a person's word."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from outbox.cli.common import (
    AsOption,
    ConfigOption,
    JsonOption,
    output,
    run,
    settings_of,
    who_decides,
    why_decided,
)
from outbox.cli.inspect import age
from outbox.model.circuit import CircuitState
from outbox.postgres.circuit import CircuitDecision, read_circuits, set_circuit
from outbox.postgres.status import FlowStatus
from outbox.wiring import postgres_server

_CIRCUIT = """\
Show whether each flow's target is called. A circuit opens by itself when a target fails, and at once when every call
would fail (refused credentials, a wrong address); probes close it again. Nothing becomes a dead letter meanwhile. What
people did last to each circuit is shown with it; inbox.circuit_change has all of it.

Examples: outbox circuit · outbox circuit open orders-to-crm --why "the CRM moves" · outbox circuit close orders-to-crm
--why "it has moved"
"""
_OPEN = """\
Stop calling a flow's target until "outbox circuit close". Messages are still taken and wait in the inbox, in order.
Calls under way end as they would.

Example: outbox circuit open orders-to-crm --why "CRM is migrated tonight"
"""
_CLOSE = """\
Call a flow's target again at once, whatever had opened its circuit. What has piled up is applied gently: one call at
first, one more for each that goes well. If the cause is still there, the circuit opens again by itself.

Example: outbox circuit close orders-to-crm --why "new credentials are in place"
"""

_Flow = Annotated[str, typer.Argument(metavar="FLOW", help="Name of the flow.")]
_Why = Annotated[str | None, typer.Option("--why", help="Why, for everyone who looks and the audit.")]


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

    async def work() -> list[tuple[FlowStatus, CircuitDecision | None]]:
        return await read_circuits(server)

    circuits = run(work)
    if as_json:
        output.print_json(data=[_as_data(flow, decision) for flow, decision in circuits])
        return
    table = Table("flow", "circuit", "next call", "needs a person", "reason", "last set by", title="Circuits")
    for flow, decision in circuits:
        table.add_row(
            escape(flow.flow),
            flow.circuit if flow.circuit == CircuitState.CLOSED else f"[red]{flow.circuit.replace('_', ' ')}[/]",
            _next_call(flow),
            "[red]yes[/]" if flow.needs_a_person else "no",
            escape(flow.circuit_reason or ""),
            _last_set(decision),
        )
    output.print(table)


def _as_data(flow: FlowStatus, decision: CircuitDecision | None) -> dict[str, object]:
    wanted = ("flow", "circuit", "circuit_reason", "circuit_seconds", "needs_a_person", "throttled_seconds")
    data = {name: asdict(flow)[name] for name in wanted}
    last = None if decision is None else asdict(decision) | {"changed_at": decision.changed_at.isoformat()}
    return data | {"last_set": last}


def _last_set(decision: CircuitDecision | None) -> str:
    if decision is None:
        return "nobody"
    told = f"{decision.who}, {decision.changed_at:%Y-%m-%d %H:%M:%S} UTC: {decision.to_state}, {decision.why}"
    return escape(told)


def _next_call(flow: FlowStatus) -> str:
    if flow.circuit != CircuitState.CLOSED and flow.circuit_seconds is None:
        return "when it is closed"
    seconds = max(flow.circuit_seconds or 0.0, flow.throttled_seconds or 0.0)
    return f"in {age(seconds)}" if seconds > 0 else "now"


def _open(
    flow: _Flow, why: _Why = None, who: AsOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    _set(flow, CircuitState.OPEN, who_decides(who), why_decided(why), config, as_json=as_json)


def _close(
    flow: _Flow, why: _Why = None, who: AsOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    _set(flow, CircuitState.CLOSED, who_decides(who), why_decided(why), config, as_json=as_json)


def _set(flow: str, state: CircuitState, who: str, why: str, config: ConfigOption, *, as_json: bool) -> None:
    server = postgres_server(settings_of(config), name="outbox-circuit")

    async def work() -> CircuitState:
        return await set_circuit(server, flow, state, who=who, why=why)

    former = run(work)
    if as_json:
        data = {"flow": flow, "from_state": former.value, "to_state": state.value, "who": who, "why": why}
        output.print_json(data=data)
        return
    output.print(f"{escape(flow)}: circuit {state.value}, it was {former.value.replace('_', ' ')}", soft_wrap=True)
