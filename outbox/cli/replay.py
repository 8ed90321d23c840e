"""The verbs of replays: ``replay`` applies events again, ``replay list | resume | cancel`` are about earlier ones."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from datetime import datetime
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
    usage_problem,
    who_decides,
    why_decided,
)
from outbox.cli.dead_options import check_type
from outbox.cli.replay_work import Ended, check_horizon, go_on, look, tell
from outbox.config.settings import Settings
from outbox.model.replay import ReplayEntry, ReplayProgress, Selection, both, type_patterns
from outbox.postgres.replay import ReplaySession, replay_session
from outbox.wiring import postgres_server

_REPLAY = """\
Apply events again that a flow has applied, or with --missing those that it never had. They are taken from
outbox.event, as long as it keeps them, and only this flow gets them; the broker is not involved.

Each of them takes effect again: with idempotency keys of its own, an operation that creates will create once more. In
order for their key, and followed by what came for it meanwhile; events that are on their way, parked or dead are left
alone. So is, unless that is asked for, what was skipped or noted as applied by hand, and what would put its key back to
an older state. What was edited is applied as it was edited. Without --yes it shows what would happen. Killed anywhere,
"outbox replay resume" goes on.

Examples: outbox replay --flow orders-to-crm --since 2026-11-01T00:00Z --why "CRM lost its November" ·
outbox replay --flow orders-to-crm --key C-1001 --why "wrong mapping" --yes · outbox replay list
"""
_RESUME = """\
Go on with a replay that was interrupted, at its rate or at another one.

Examples: outbox replay resume 3 · outbox replay resume 3 --rate 20
"""
_CANCEL = """\
End a running replay; what it has put into the inbox is applied.

Example: outbox replay cancel 3 --why "the CRM has a backup after all"
"""
_FLOW_HELP = "The flow that applies them again."
_TIMES = ["%Y-%m-%dT%H:%M%z", "%Y-%m-%dT%H:%M:%S%z"]

WhyOption = Annotated[str | None, typer.Option("--why", help="The reason; it is kept with the replay.")]
RateOption = Annotated[
    float | None,
    typer.Option("--rate", min=0.1, help="Events per second put into the inbox; else as fast as it has room."),
]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    group = typer.Typer(help=_REPLAY)
    group.callback(invoke_without_command=True)(_replay)
    group.command("list", help="Show the newest replays. Example: outbox replay list --json")(_list)
    group.command("resume", help=_RESUME)(_resume)
    group.command("cancel", help=_CANCEL)(_cancel)
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
        typer.Option("--since", "--from", formats=_TIMES, help="Written at or after this time."),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--until", "--to", formats=_TIMES, help="Written before this time.")
    ] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Only events that this flow never had.")] = False,
    with_skipped: Annotated[
        bool, typer.Option("--skipped", help="Also what was skipped or discarded, by a person or as stale.")
    ] = False,
    with_happened: Annotated[
        bool, typer.Option("--happened", help="Also what a person has noted as applied (dead resolve --happened).")
    ] = False,
    even_stale: Annotated[bool, typer.Option("--stale", help="Also what puts its key back to an older state.")] = False,
    rate_per_s: RateOption = None,
    why: WhyOption = None,
    who: AsOption = None,
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
    if missing and (with_skipped or with_happened):
        usage_problem("--missing is what the flow never had: --skipped and --happened are about what it had")
    check_type(event_type)
    patterns = type_patterns(settings.flows[flow].topics())
    if event_type is not None:
        asked = type_patterns([event_type])
        # What it had, it had, whatever it takes today; what it never had may be no event of it.
        patterns = both(patterns, asked) if missing else asked
    on_stale = "apply" if even_stale else settings.flows[flow].on_stale
    selection = Selection(flow, patterns, key, since, until, missing, with_skipped, with_happened, on_stale)
    if not is_confirmed:
        look(_session(settings), selection, as_json=as_json)
        return

    async def work() -> Ended:
        async with _session(settings) as session:
            check_horizon(await session.horizon(), selection)
            number = await session.begin(selection, who=who_decides(who), why=why or "", rate_per_s=rate_per_s)
            return await go_on(session, number, rate_per_s, 0, settings.inbox.max_waiting, is_quiet=as_json)

    tell(run(work), as_json=as_json)


def _list(
    config: ConfigOption = None,
    most: Annotated[int, typer.Option("--most", min=1, help="How many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    settings = settings_of(config)

    async def work() -> list[ReplayEntry]:
        async with _session(settings) as session:
            return await session.entries(most)

    entries = run(work)
    if as_json:
        output.print_json(data=[asdict(entry) for entry in entries])
        return
    table = Table("number", "flow", "state", "replayed", "began", "last moved", "who", "why", title="Replays")
    for entry in entries:
        table.add_row(
            str(entry.id), escape(entry.flow), entry.state, f"{entry.replayed:,}", entry.started_at[:19],
            entry.moved_at[:19], escape(entry.who), escape(entry.why),
        )  # fmt: skip
    output.print(table)


_Number = Annotated[int, typer.Argument(metavar="NUMBER", help="As in outbox replay list.")]


def _resume(
    number: _Number,
    config: ConfigOption = None,
    rate_per_s: RateOption = None,
    who: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    settings = settings_of(config)

    async def work() -> Ended:
        async with _session(settings) as session:
            rate, replayed = await session.resume(number, who=who_decides(who), rate_per_s=rate_per_s)
            return await go_on(session, number, rate, replayed, settings.inbox.max_waiting, is_quiet=as_json)

    tell(run(work), as_json=as_json)


def _cancel(
    number: _Number,
    config: ConfigOption = None,
    why: WhyOption = None,
    who: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    reason = why_decided(why)
    settings = settings_of(config)

    async def work() -> ReplayProgress:
        async with _session(settings) as session:
            return await session.cancel(number, who=who_decides(who), why=reason)

    progress = run(work)
    if as_json:
        output.print_json(
            data={
                "replay": number,
                "state": progress.state,
                "looked_at": progress.looked_at,
                "replayed": progress.replayed,
            }
        )
        return
    output.print(f"replay {number} is {progress.state}")


def _session(settings: Settings) -> AbstractAsyncContextManager[ReplaySession]:
    return replay_session(postgres_server(settings, name="outbox-replay"), settings.remembered_seconds())
