"""The verbs of replays: ``replay`` applies events again, ``replay list | resume | cancel`` are about earlier ones."""

from __future__ import annotations

import getpass
from collections import Counter
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from outbox.cli.common import ConfigOption, JsonOption, errors, output, run, settings_of, usage_problem
from outbox.config.settings import Settings
from outbox.model.errors import ExitCode
from outbox.model.replay import Horizon, ReplayEntry, ReplayProgress, Selection, type_patterns
from outbox.postgres.connection import PostgresServer
from outbox.postgres.replay import replay_session
from outbox.supervisor import Stop
from outbox.wiring import postgres_server

_REPLAY = """\
Apply events again that a flow has finished, or with --missing those that it never had. They are taken from
outbox.event, as long as it keeps them, and only this flow gets them; the broker is not involved.

Each of them takes effect again: with idempotency keys of its own, an operation that creates will create once more. In
order for their key; events that are on their way, parked or dead are left alone. Without --yes it shows what would
happen. Killed anywhere, "outbox replay resume" goes on.

Examples: outbox replay --flow orders-to-crm --since 2026-11-01T00:00Z --why "CRM lost its November" ·
outbox replay --flow orders-to-crm --key C-1001 --why "wrong mapping" --yes · outbox replay list
"""
_BATCH = 500
_FLOW_HELP = "The flow that applies them again."

WhyOption = Annotated[str | None, typer.Option("--why", help="The reason; it is kept with the replay.")]
RateOption = Annotated[float | None, typer.Option("--rate", min=0.1, help="Events per second put into the inbox.")]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    group = typer.Typer(help=_REPLAY)
    group.callback(invoke_without_command=True)(_replay)
    group.command("list", help="Show the newest replays. Example: outbox replay list --json")(_list)
    group.command("resume", help="Go on with a replay that was interrupted. Example: outbox replay resume 3")(_resume)
    group.command(
        "cancel",
        help="End a running replay; what it has put into the inbox is applied. Example: outbox replay cancel 3",
    )(_cancel)
    app.add_typer(group, name="replay")


def _replay(  # noqa: PLR0917 - one for each option
    context: typer.Context,
    config: ConfigOption = None,
    flow: Annotated[str | None, typer.Option("--flow", help=_FLOW_HELP)] = None,
    event_type: Annotated[
        str | None, typer.Option("--type", metavar="PATTERN", help="Only these types; * is one word, # any number.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="Only events of this key.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--since",
            "--from",
            formats=["%Y-%m-%dT%H:%M%z", "%Y-%m-%dT%H:%M:%S%z"],
            help="Written at or after this time.",
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            "--until", "--to", formats=["%Y-%m-%dT%H:%M%z", "%Y-%m-%dT%H:%M:%S%z"], help="Written before this time."
        ),
    ] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Only events that this flow never had.")] = False,
    rate_per_s: RateOption = None,
    why: WhyOption = None,
    is_confirmed: Annotated[bool, typer.Option("--yes", help="Do it.")] = False,
    as_json: JsonOption = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    settings = settings_of(config)
    if flow is None or flow not in settings.flows:
        known = ", ".join(sorted(settings.flows)) or "none"
        usage_problem(f"--flow must name a flow of the settings: {known}")
    if is_confirmed and not why:
        usage_problem("--why is missing: the reason is kept with the replay")
    topics = (event_type,) if event_type is not None else settings.flows[flow].events
    selection = Selection(flow, type_patterns(topics), key, since, until, missing)
    server = _server(settings)
    if not is_confirmed:
        _look(server, selection, as_json=as_json)
        return

    async def work() -> tuple[int, ReplayProgress]:
        async with replay_session(server) as session:
            _refuse_what_is_gone(await session.horizon(), since)
            number = await session.begin(selection, who=getpass.getuser(), why=why or "")
        return number, await _go_on(server, number, rate_per_s, is_quiet=as_json)

    _tell(*run(work), as_json=as_json)


def _look(server: PostgresServer, selection: Selection, *, as_json: bool) -> None:
    async def work() -> tuple[Counter[str], int]:
        found: Counter[str] = Counter()
        looked_at, after = 0, 0
        async with replay_session(server) as session:
            _refuse_what_is_gone(await session.horizon(), selection.since)
            while True:
                some = await session.candidates(selection, after)
                if some.upto is None:
                    return found, looked_at
                found.update(some.by_type)
                looked_at += some.looked_at
                after = some.upto
                if not as_json and errors.is_terminal:
                    errors.print(f"looked at {looked_at:,}, found {found.total():,}", end="\r")

    found, looked_at = run(work)
    if as_json:
        output.print_json(data={"is_dry_run": True, "looked_at": looked_at, "would_be_replayed": dict(found)})
        return
    table = Table("type", title=f"{selection.flow}: would be applied again, of {looked_at:,} events looked at")
    table.add_column("events", justify="right")
    for name, events in sorted(found.items()):
        table.add_row(escape(name), f"{events:,}")
    output.print(table)
    if found:
        output.print("nothing was changed; next step: the same with --why and --yes")


def _refuse_what_is_gone(horizon: Horizon, since: datetime | None) -> None:
    if horizon.refuses(since):
        oldest = (
            "no event is left" if horizon.oldest is None else f"the oldest is of {horizon.oldest:%Y-%m-%dT%H:%M:%S%z}"
        )
        errors.print(
            f"[bold red]error:[/] events from {since:%Y-%m-%dT%H:%M:%S%z} on cannot be replayed: retention has removed"
            f" some of them ({oldest})\n  next step: replay from a later time, and let the application write what is"
            " missing before it; a larger retention.keep helps the next time"
        )
        raise typer.Exit(ExitCode.MISCONFIGURED)


async def _go_on(server: PostgresServer, number: int, rate_per_s: float | None, *, is_quiet: bool) -> ReplayProgress:
    never = Stop()
    batch = _BATCH if rate_per_s is None else max(min(int(rate_per_s), _BATCH), 1)
    before = 0
    async with replay_session(server) as session:
        while True:
            progress = await session.step(number, batch)
            if progress.state != "running":
                return progress
            if not is_quiet and errors.is_terminal:
                errors.print(f"looked at {progress.looked_at:,}, replayed {progress.replayed:,}", end="\r")
            if rate_per_s is not None and progress.replayed > before:
                await never.pause((progress.replayed - before) / rate_per_s)
            before = progress.replayed


def _tell(number: int, progress: ReplayProgress, *, as_json: bool) -> None:
    if as_json:
        output.print_json(data={"replay": number} | asdict(progress))
        return
    output.print(
        f"replay {number} is {progress.state}: {progress.replayed:,} events are in the inbox and are applied now"
    )


def _list(
    config: ConfigOption = None,
    most: Annotated[int, typer.Option("--most", min=1, help="How many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    server = _server(settings_of(config))

    async def work() -> list[ReplayEntry]:
        async with replay_session(server) as session:
            return await session.entries(most)

    entries = run(work)
    if as_json:
        output.print_json(data=[asdict(entry) for entry in entries])
        return
    table = Table("number", "flow", "state", "replayed", "began", "who", "why", title="Replays")
    for entry in entries:
        table.add_row(
            str(entry.id), escape(entry.flow), entry.state, f"{entry.replayed:,}", entry.started_at[:19],
            escape(entry.who), escape(entry.why),
        )  # fmt: skip
    output.print(table)


_Number = Annotated[int, typer.Argument(metavar="NUMBER", help="As in outbox replay list.")]


def _resume(
    number: _Number, config: ConfigOption = None, rate_per_s: RateOption = None, as_json: JsonOption = False
) -> None:
    server = _server(settings_of(config))

    async def work() -> ReplayProgress:
        return await _go_on(server, number, rate_per_s, is_quiet=as_json)

    _tell(number, run(work), as_json=as_json)


def _cancel(number: _Number, config: ConfigOption = None) -> None:
    server = _server(settings_of(config))

    async def work() -> str:
        async with replay_session(server) as session:
            return await session.cancel(number)

    output.print(f"replay {number} is {run(work)}")


def _server(settings: Settings) -> PostgresServer:
    return postgres_server(settings, name="outbox-replay")
