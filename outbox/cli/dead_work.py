"""Carries a decision out: shows what is meant, asks when it is more than one, and works in batches."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import typer
from rich.markup import escape

from outbox.cli.common import errors, output, run, usage_problem, why_decided
from outbox.cli.dead_options import Filters
from outbox.cli.dead_tables import show_groups
from outbox.model.dead_letters import Action, Decision, ParkedGroup, Resolved, Selection, Story, Verdict, refusal
from outbox.model.delivery import State
from outbox.model.errors import ExitCode
from outbox.postgres.connection import PostgresServer
from outbox.postgres.dead_letters import DeadLetterSession, dead_letter_session

_DONE = {
    Action.RETRY: "tried again",
    Action.EDIT: "edited and tried again",
    Action.SKIP: "skipped",
    Action.DISCARD: "discarded",
    Action.HAPPENED: "noted as applied",
    Action.NOT_HAPPENED: "tried again",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Which deliveries a command is about, and how it may proceed."""

    wanted: Sequence[str]
    filters: Filters
    states: Sequence[State]
    is_all: bool = False
    is_dry_run: bool = False
    is_confirmed: bool = False
    as_json: bool = False

    def check(self) -> None:
        """End with the reason when it is not clear what is meant."""
        if self.is_all == bool(self.wanted):
            usage_problem("name deliveries or events by their ids, or everything with --all-matching and filters")
        if self.wanted and replace(self.filters, flow=None) != Filters():
            usage_problem("filters go with --all-matching; of ids only --flow")
        self.filters.check()
        if self.is_all and not self.filters.narrows():
            usage_problem(
                "--all-matching alone is everything of every flow: add --flow, --type, --group, --key or --since; "
                "outbox dead list --by-group shows the causes"
            )
        if self.as_json and self.is_many() and not (self.is_dry_run or self.is_confirmed):
            usage_problem("--json asks nothing: add --yes to do it, or --dry-run to look")

    def is_many(self) -> bool:
        """Say whether more than one may be concerned."""
        return self.is_all or len(self.wanted) > 1


@dataclass(frozen=True, slots=True)
class _Plan:
    """What would come of it, as it stands now. ``unanswered``: of those done, with a call without an answer before."""

    selection: Selection
    verdicts: Counter[Verdict]
    unanswered: int = 0
    groups: Sequence[ParkedGroup] = ()
    members: Mapping[str, Sequence[int]] = field(default_factory=dict)


def decide(server: PostgresServer, asked: Asked, decision: Decision) -> None:
    """Carry a decision out, or only show what would come of it."""
    asked.check()
    if asked.is_all and not asked.is_dry_run:
        why_decided(decision.why)

    async def look() -> _Plan:
        async with dead_letter_session(server) as session:
            return await _plan(session, asked, decision)

    async def work() -> list[Resolved]:
        async with dead_letter_session(server) as session:
            return await _carry_out(session, asked, decision, plan)

    plan = run(look)
    if asked.is_dry_run or (asked.is_many() and not asked.is_confirmed):
        if asked.as_json:
            _print_json(decision, plan.verdicts, plan)
            return
        _show(plan, decision)
        if asked.is_dry_run or not plan.verdicts[Verdict.DONE]:
            return
        if not sys.stdin.isatty():
            usage_problem("nothing was changed: add --yes")
        typer.confirm("Do it?", abort=True)
    resolved = run(work)
    verdicts = Counter(one.verdict for one in resolved)
    if asked.as_json:
        _print_json(decision, verdicts)
    else:
        _tell(decision, resolved, verdicts, is_each_told=not asked.is_all)
    if not asked.is_all and verdicts.total() > verdicts[Verdict.DONE]:
        raise typer.Exit(ExitCode.CHECK_FAILED)


async def _plan(session: DeadLetterSession, asked: Asked, decision: Decision) -> _Plan:
    now = await session.now()
    if asked.is_all:
        # What is parked from now on was not shown to whoever decides.
        selection = asked.filters.selection(asked.states, now)
        selection = replace(selection, until=min(now, selection.until or now))
        verdicts = await session.verdicts(selection, replace(decision, even_unanswered=False))
        unanswered = verdicts.pop(Verdict.UNANSWERED, 0) if decision.even_unanswered else 0
        verdicts[Verdict.DONE] += unanswered
        return _Plan(selection, verdicts, unanswered, await session.groups(selection))
    members: dict[str, list[int]] = {}
    for wanted in asked.wanted:
        stories = await session.stories(wanted, flow=asked.filters.flow)
        if not stories:
            usage_problem(f"no delivery {wanted!r}; outbox dead list shows what there is")
        if len(stories) > 1:
            usage_problem(f"{wanted} is {_names(stories)}: name one by its number")
        members.setdefault(stories[0].flow, []).append(stories[0].id)
    ids = [one for flow in members.values() for one in flow]
    verdicts = Counter(one.verdict for one in await session.verdicts_of(ids, decision))
    return _Plan(asked.filters.selection(asked.states, now), verdicts, members=members)


async def _carry_out(session: DeadLetterSession, asked: Asked, decision: Decision, plan: _Plan) -> list[Resolved]:
    resolved: list[Resolved] = []
    for flow, ids in plan.members.items():
        resolved += await session.resolve(flow, ids, decision)
    if asked.is_all:
        async for batch in session.resolve_matching(plan.selection, decision):
            resolved += batch
            if not asked.as_json:
                errors.print(f"{len(resolved)} of {plan.verdicts.total()}")
    return resolved


def _show(plan: _Plan, decision: Decision) -> None:
    if plan.groups:
        show_groups(plan.groups)
    output.print(f"would be {_DONE[decision.action]}: {plan.verdicts[Verdict.DONE]}{_pace(plan, decision)}")
    for verdict, count in plan.verdicts.items():
        if verdict is not Verdict.DONE:
            output.print(f"would be left: {count}, {escape(refusal(verdict))}", soft_wrap=True)
    if plan.unanswered:
        output.print(f"of them after a call without an answer, which may have taken effect: {plan.unanswered}")
    if plan.selection.until is not None:
        output.print(f"what is parked from now on is left alone with: --until {plan.selection.until.isoformat()}")


def _pace(plan: _Plan, decision: Decision) -> str:
    if decision.rate_per_s is None:
        return ""
    return f", spread over {plan.verdicts[Verdict.DONE] / decision.rate_per_s:.0f} s"


def _tell(decision: Decision, resolved: Sequence[Resolved], verdicts: Counter[Verdict], *, is_each_told: bool) -> None:
    if is_each_told:
        for one in resolved:
            if one.verdict is Verdict.DONE:
                output.print(f"delivery {one.id}: {_DONE[decision.action]}, {one.from_state} to {one.to_state}")
            else:
                errors.print(
                    f"[bold red]error:[/] delivery {one.id} stays {one.from_state}: {escape(refusal(one.verdict))}"
                )
        return
    output.print(f"{_DONE[decision.action]}: {verdicts[Verdict.DONE]}")
    for verdict, count in verdicts.items():
        if verdict is not Verdict.DONE:
            output.print(f"left: {count}, {escape(refusal(verdict))}", soft_wrap=True)


def _print_json(decision: Decision, verdicts: Counter[Verdict], plan: _Plan | None = None) -> None:
    left = {verdict.value: count for verdict, count in sorted(verdicts.items()) if verdict is not Verdict.DONE}
    data: dict[str, object] = {
        "action": decision.action.value,
        "is_dry_run": plan is not None,
        "done": verdicts[Verdict.DONE],
        "left": left,
        "who": decision.who,
    }
    if plan is not None:
        until = plan.selection.until
        data |= {"unanswered": plan.unanswered, "until": None if until is None else until.isoformat()}
    output.print_json(data=data)


def _names(stories: Sequence[Story]) -> str:
    return " and ".join(f"delivery {story.id} of flow {story.flow} ({story.state})" for story in stories)
