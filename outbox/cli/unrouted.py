"""Verbs for events that nobody had bound: ``unrouted list``, ``unrouted redrive``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from outbox.cli.common import ConfigOption, JsonOption, output, run, settings_of, usage_problem
from outbox.model.unrouted import ParkedType, Redriven, Survey, matches
from outbox.rabbitmq.redrive import unrouted
from outbox.wiring_rabbitmq import rabbit_server

_UNROUTED = "Events that no queue was bound for when they were published; they wait in the queue outbox.unrouted."
_LIST = """\
Show what waits in outbox.unrouted, by type. Nothing is taken out of the queue, and no payload is shown.

Examples: outbox unrouted list · outbox unrouted list --json
"""
_REDRIVE = """\
Send parked events again, unchanged and in order, to the queues that are bound by now. Bind the queue first; what is
still unbound is tried, and stays where it is. An event may arrive twice when this is killed: deduplicate by message id.

Examples: outbox unrouted redrive --dry-run · outbox unrouted redrive --type 'order.*' --most 100 --yes
"""
_SHOWN_KEYS = 5
_LOOKED_AT = 10_000

TypeOption = Annotated[
    str, typer.Option("--type", metavar="PATTERN", help="Only these types; * is one word, # any number of words.")
]
LookedAtOption = Annotated[int, typer.Option("--most", min=1, help="How many messages are looked at, oldest first.")]
SentOption = Annotated[
    int | None,
    typer.Option(
        "--most", metavar="N", min=1, help="How many events are sent, oldest first; the unbound do not count. Else all."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    group = typer.Typer(help=_UNROUTED, no_args_is_help=True)
    group.command("list", help=_LIST)(_list)
    group.command("redrive", help=_REDRIVE)(_redrive)
    app.add_typer(group, name="unrouted")


def _list(config: ConfigOption = None, most: LookedAtOption = _LOOKED_AT, as_json: JsonOption = False) -> None:
    survey = _survey(config, most)
    if as_json:
        output.print_json(data=_data(survey))
        return
    _show(survey, "#")
    if survey.types:
        output.print('next step: bind a queue to outbox.events for these types, then "outbox unrouted redrive"')


def _redrive(
    config: ConfigOption = None,
    pattern: TypeOption = "#",
    rate_per_s: Annotated[float | None, typer.Option("--rate", min=0.1, help="Events per second, at most.")] = None,
    most: SentOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be tried, and send nothing.")] = False,
    is_confirmed: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    if as_json and not (dry_run or is_confirmed):
        usage_problem("--json asks nothing: add --yes to send, or --dry-run to look")
    if dry_run or not is_confirmed:
        survey = _survey(config, _LOOKED_AT) if most is None else _survey(config, most, pattern)
        if dry_run and as_json:
            output.print_json(data=_data(survey) | {"would_be_tried": survey.matching(pattern), "is_dry_run": True})
            return
        _show(survey, pattern)
        more = _and_more(survey) if most is None else ""
        output.print(f"would be tried: {survey.matching(pattern)}{more}; what is still unbound stays")
        if dry_run or not survey.matching(pattern):
            return
        if not sys.stdin.isatty():
            usage_problem("nothing was sent: add --yes")
        typer.confirm("Try them?", abort=True)
    settings = settings_of(config)

    async def work() -> Redriven:
        async with unrouted(rabbit_server(settings), name="outbox-unrouted") as queue:
            return await queue.redrive(pattern, rate_per_s, most=most)

    done = run(work)
    if as_json:
        output.print_json(data=_result(done))
        return
    for name, events in sorted(done.moved.items()):
        output.print(f"{escape(name)}: {events} sent")
    for name, events in sorted(done.left.items()):
        why = "more than --most" if matches(pattern, name) else "not asked for"
        if name in done.unbound:
            why = "no queue is bound for it: bind one, then redrive again"
        output.print(f"{escape(name)}: {events} left, {why}")
    if done.foreign:
        output.print(f"{done.foreign} messages are no events of an outbox and were left")
    output.print(f"sent {done.moved.total()}, still unbound {done.still_unbound()}, in the queue now {done.waiting}")


def _survey(config: ConfigOption, most: int, pattern: str | None = None) -> Survey:
    settings = settings_of(config)

    async def work() -> Survey:
        async with unrouted(rabbit_server(settings), name="outbox-unrouted") as queue:
            return await queue.survey(most, pattern)

    return run(work)


def _show(survey: Survey, pattern: str) -> None:
    table = Table("type", title=f"outbox.unrouted: {survey.waiting} messages")
    table.add_column("messages", justify="right")
    table.add_column("keys", justify="right")
    table.add_column("for example")
    table.add_column("oldest, UTC")
    for name, parked in sorted(survey.types.items()):
        if matches(pattern, name):
            table.add_row(
                escape(name),
                str(parked.messages),
                str(len(parked.keys)),
                escape(", ".join(sorted(parked.keys)[:_SHOWN_KEYS])),
                "" if parked.oldest is None else f"{parked.oldest:%Y-%m-%d %H:%M:%S}",
            )
    output.print(table)
    if survey.foreign:
        output.print(f"{survey.foreign} messages are no events of an outbox")
    if survey.seen < survey.waiting:
        output.print(f"looked at the first {survey.seen} only; --most looks at more")


def _and_more(survey: Survey) -> str:
    return "" if survey.seen >= survey.waiting else f", and what matches among {survey.waiting - survey.seen} more"


def _data(survey: Survey) -> dict[str, object]:
    return {
        "waiting": survey.waiting,
        "looked_at": survey.seen,
        "foreign": survey.foreign,
        "types": {name: _type_data(parked) for name, parked in sorted(survey.types.items())},
    }


def _type_data(parked: ParkedType) -> Mapping[str, object]:
    return {
        "messages": parked.messages,
        "keys": len(parked.keys),
        "some_keys": sorted(parked.keys)[:_SHOWN_KEYS],
        "oldest": None if parked.oldest is None else parked.oldest.isoformat(),
    }


def _result(done: Redriven) -> dict[str, object]:
    return {
        "sent": dict(sorted(done.moved.items())),
        "left": dict(sorted(done.left.items())),
        "unbound": sorted(done.unbound),
        "still_unbound": done.still_unbound(),
        "foreign": done.foreign,
        "waiting": done.waiting,
    }
