"""The verbs of the lanes: ``lanes`` shows, ``lanes set`` changes how many there are."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from outbox.cli.common import ConfigOption, JsonOption, output, run, settings_of, usage_problem
from outbox.config.settings import Settings
from outbox.model.lanes import MAX_LANES
from outbox.model.lanes_plan import LanesPlan, LanesSet, consequences
from outbox.postgres.lanes import SharingProcess, lanes_session
from outbox.postgres.status import LaneStatus, read_outbox
from outbox.rabbitmq.witness import hand_over
from outbox.wiring import STREAM, postgres_server
from outbox.wiring_rabbitmq import rabbit_server, routes

_LANES = """\
Show the lanes of the relay: who leads each, how far it is published, and which processes share them.

Examples: outbox lanes · outbox lanes --json · outbox lanes set 4 --dry-run
"""
_SET = """\
Spread the keys over another number of lanes, each with a cursor and a leader of its own.

Best with the relays stopped: stop them, set, give them the new relay.lanes, start them. Relays that run stop publishing
within seconds and end with a message. Nothing is lost; what is published again has the same message ids. Killed
anywhere, it has happened as a whole or not at all. Asks before it does it, where somebody can answer.

Examples: outbox lanes set 4 --dry-run · outbox lanes set 4 --yes
"""


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    group = typer.Typer(help=_LANES)
    group.callback(invoke_without_command=True)(_show)
    group.command("set", help=_SET)(_set)
    app.add_typer(group, name="lanes")


def _show(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    if context.invoked_subcommand is not None:
        return
    server = postgres_server(settings_of(config), name="outbox-lanes")

    async def work() -> tuple[list[LaneStatus], list[SharingProcess]]:
        _, lanes = await read_outbox(server, STREAM)
        async with lanes_session(server, STREAM) as session:
            return lanes, await session.processes()

    lanes, processes = run(work)
    if as_json:
        output.print_json(
            data={"lanes": [asdict(lane) for lane in lanes], "processes": [asdict(process) for process in processes]}
        )
        return
    table = Table("lane", "leader", "epoch", "waiting", "published up to", title=f"{len(lanes)} lane(s)")
    for lane in lanes:
        table.add_row(
            lane.stream,
            escape(lane.leader) if lane.leader is not None else "[red]none[/]",
            str(lane.epoch),
            str(lane.waiting),
            escape(lane.previous if not lane.position else f"{lane.previous}, in a batch up to {lane.position}"),
        )
    output.print(table)
    for process in processes:
        more = "" if process.takes_more else ", takes no more for now"
        output.print(f"{escape(process.name)} holds {process.lanes_held} of them{more}", soft_wrap=True)


def _set(
    number: Annotated[int, typer.Argument(metavar="N", help="How many lanes.", min=1, max=MAX_LANES)],
    config: ConfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would happen, and change nothing.")] = False,
    is_confirmed: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    if as_json and not (dry_run or is_confirmed):
        usage_problem("--json asks nothing: add --yes to do it, or --dry-run to look")
    settings = settings_of(config)
    plan = run(lambda: _plan(settings, number))
    if not as_json:
        for sentence in consequences(plan):
            output.print(sentence, soft_wrap=True)
    done = None
    if plan.is_a_change() and not dry_run:
        if not is_confirmed:
            if not sys.stdin.isatty():
                usage_problem("nothing was changed: add --yes")
            typer.confirm("Do it?", abort=True)
        done = run(lambda: _change(settings, number))
    if as_json:
        output.print_json(
            data={"is_dry_run": dry_run, "plan": asdict(plan), "set": None if done is None else asdict(done)}
        )
    elif done is not None:
        wait = f", which may take {done.opens_in_seconds:.0f} s" if done.opens_in_seconds > 1 else ""
        output.print(f"done, epoch {done.epoch}: the new lanes are led as soon as the old leaders are gone{wait}")
    elif plan.is_a_change():
        output.print("next step: the same with --yes instead of --dry-run")


async def _plan(settings: Settings, number: int) -> LanesPlan:
    async with lanes_session(postgres_server(settings, name="outbox-lanes"), STREAM) as session:
        return await session.plan(number)


async def _change(settings: Settings, number: int) -> LanesSet:
    async with lanes_session(postgres_server(settings, name="outbox-lanes"), STREAM) as session:
        origin, lanes_before = await session.origin()
        if origin is not None:
            await _hand_over(settings, origin, lanes_before, number)
        return await session.set(number)


async def _hand_over(settings: Settings, origin: str, lanes_before: int, lanes_after: int) -> None:
    """What the broker remembers goes to the new lanes before there are any: a loss meanwhile is seen by all of them."""
    await hand_over(
        rabbit_server(settings), routes(settings), origin, lanes_before=lanes_before, lanes_after=lanes_after
    )
