"""The verb that repairs: ``rebase``, after a restore, a copy, or a failover that lost transactions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from outbox.cli.common import (
    ConfigOption,
    JsonOption,
    errors,
    output,
    run,
    settings_of,
    time_of,
    usage_problem,
    why_decided,
)
from outbox.cli.recollection import recollection
from outbox.config.settings import Settings
from outbox.model.rebase import (
    Choice,
    Range,
    Rebased,
    RebasePlan,
    certainties,
    findings,
    uncertainties,
)
from outbox.postgres.rebase import rebase_session
from outbox.wiring import STREAM, postgres_server

_REBASE = """\
Make the cursor belong to this server, after a restore, a copy, or a failover that lost transactions.

Shows what is certain, what is uncertain and what would be published again, and changes nothing. With --yes that range
is published again, in its order and with the same message ids, and then everything that commits from now on, each event
once. Without a range: from the first event that the cursor has not passed.

Examples: outbox rebase · outbox rebase --since 2026-03-31T22:00:00Z · outbox rebase --yes --why "restored, INC-4711"
"""

_TYPES_SHOWN = 10


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command("rebase", help=_REBASE)(_rebase)


def _rebase(
    config: ConfigOption = None,
    from_sequence: Annotated[
        int | None,
        typer.Option("--from", metavar="SEQUENCE", help="Publish again from this sequence on.", min=1),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Publish again from this time on; ISO 8601, else UTC.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Publish again every event that exists.")] = False,
    nothing: Annotated[bool, typer.Option("--nothing", help="Publish again no event that exists.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Relays must be stopped, or waiting for this.")] = False,
    why: Annotated[str | None, typer.Option("--why", help="Why, for the audit in outbox.rebase.")] = None,
    as_json: JsonOption = False,
) -> None:
    if yes:
        why = why_decided(why)
    choice = _choice(from_sequence=from_sequence, since=since, everything=everything, nothing=nothing)
    settings = settings_of(config)
    if not as_json:
        errors.print("counting events …")

    async def look() -> RebasePlan:
        return await _plan(settings, choice)

    async def look_and_do() -> tuple[RebasePlan, Rebased]:
        plan = await _plan(settings, choice)
        if not as_json:
            _show(plan, choice)
        return plan, await _do(settings, choice, plan, why=why or "")

    if yes:
        plan, done = run(look_and_do)
    else:
        plan, done = run(look), None
    if as_json:
        output.print_json(
            data={
                "plan": asdict(plan),
                "findings": findings(plan),
                "certain": certainties(plan),
                "uncertain": uncertainties(plan),
                "rebased": None if done is None else asdict(done),
            }
        )
    elif done is None:
        _show(plan, choice)
        _say('next step: the same with --yes and --why "…"; other ranges: --from, --since, --all, --nothing')
    else:
        _say(f"done, epoch {done.epoch}: relays publish from now on, those that wait for this go on by themselves")


async def _plan(settings: Settings, choice: Choice) -> RebasePlan:
    async with rebase_session(postgres_server(settings, name="outbox-rebase"), STREAM) as session:
        return await session.plan(choice, await recollection(settings, session))


async def _do(settings: Settings, choice: Choice, plan: RebasePlan, *, why: str) -> Rebased:
    async with rebase_session(postgres_server(settings, name="outbox-rebase"), STREAM) as session:
        return await session.rebase(choice, published_up_to=plan.next_sequence_above(), reason=why)


def _choice(*, from_sequence: int | None, since: str | None, everything: bool, nothing: bool) -> Choice:
    chosen: list[Callable[[], Choice]] = []
    if from_sequence is not None:
        chosen.append(lambda: Choice(Range.FROM, from_sequence=from_sequence))
    if since is not None:
        chosen.append(lambda: Choice(Range.SINCE, since=time_of("--since", since)))
    if everything:
        chosen.append(lambda: Choice(Range.ALL))
    if nothing:
        chosen.append(lambda: Choice(Range.NOTHING))
    if len(chosen) > 1:
        usage_problem("--from, --since, --all and --nothing exclude each other")
    return chosen[0]() if chosen else Choice()


def _show(plan: RebasePlan, choice: Choice) -> None:
    output.print(_servers(plan))
    for finding in findings(plan) or ["The cursor belongs to this server: nothing makes a rebase necessary."]:
        _say(finding)
    for sentence in certainties(plan):
        _say(f"certain: {sentence}")
    for sentence in uncertainties(plan):
        _say(f"uncertain: {sentence}")
    _say(_published_again(plan, choice))
    if plan.next_sequence_above() > plan.sequence_value:
        _say(
            f"The sequence of outbox.event is at {plan.sequence_value}, it would go above "
            f"{plan.next_sequence_above()}, so that no number is given out that receivers may know."
        )


def _servers(plan: RebasePlan) -> Table:
    table = Table("", "the cursor says", "this server", title="Cursor of outbox.event")
    table.add_row("cluster", str(plan.saved_cluster), str(plan.cluster))
    table.add_row("database (oid)", str(plan.saved_database), str(plan.database))
    table.add_row("timeline", str(plan.saved_timeline), plan.timeline)
    table.add_row("transaction", str(plan.saved_transaction), str(plan.transaction))
    table.add_row("newest row's transaction", "", str(plan.newest_row_transaction))
    return table


def _published_again(plan: RebasePlan, choice: Choice) -> str:
    if plan.chosen == 0:
        return f"range {choice.range.value}: no event would be published again."
    shown = list(plan.chosen_types.items())[:_TYPES_SHOWN]
    types = ", ".join(f"{name} {count}" for name, count in shown)
    more = len(plan.chosen_types) - len(shown)
    return (
        f"range {choice.range.value}: {plan.chosen} events would be published again, sequence {plan.first_chosen} to "
        f"{plan.last_chosen}, {_ago(plan.oldest_chosen_age_seconds)} to {_ago(plan.newest_chosen_age_seconds)} old: "
        f"{types}{f' and {more} more types' if more else ''}."
    )


def _ago(seconds: float | None) -> str:
    for limit, unit_seconds, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds is not None and seconds < limit:
            return f"{seconds / unit_seconds:.0f} {unit}"
    return f"{(seconds or 0) / 86_400:.0f} d"


def _say(text: str) -> None:
    output.print(escape(text), soft_wrap=True)
