"""``outbox alerts``: what is wrong, since when and who was told; ``alerts test`` tries a channel."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from outbox.alerts.undelivered import Undelivered
from outbox.cli.common import ConfigOption, JsonOption, errors, output, run, settings_of, usage_problem
from outbox.config.audience import addressees_of
from outbox.config.problems import did_you_mean
from outbox.config.settings import Settings
from outbox.model.addresses import OWNER_WORDS
from outbox.model.errors import ExitCode
from outbox.model.notices import trial_message
from outbox.postgres.alerts import AlertStatus, TellingStatus, read_alerts
from outbox.wiring import postgres_server
from outbox.wiring_alerts import sender_of

_ALERTS = """\
Show what is wrong: since when, who was told and when, and what could not be sent. --over adds the last alerts that are
over. Processes write it while alerts.channels has any.

Examples: outbox alerts · outbox alerts --over --json · outbox alerts test ops
"""
_TEST = """\
Send a test notice over a channel and wait for the answer; ends with 1, and the reason, when it is not taken. Needs no
database. A mail channel whose recipients are owners writes to those of --flow.

Examples: outbox alerts test ops · outbox alerts test mail --flow orders-to-crm
"""


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    group = typer.Typer(help=_ALERTS)
    group.callback(invoke_without_command=True)(_show)
    group.command("test", help=_TEST)(_test)
    app.add_typer(group, name="alerts")


def _show(
    context: typer.Context,
    config: ConfigOption = None,
    with_over: Annotated[bool, typer.Option("--over", help="Also the last 200 that are over.")] = False,
    as_json: JsonOption = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    settings = settings_of(config)
    server = postgres_server(settings, name="outbox-alerts")

    async def work() -> list[AlertStatus]:
        return await read_alerts(server, with_over=with_over)

    alerts = run(work)
    if as_json:
        output.print_json(data=[asdict(one) for one in alerts], default=_as_json)
        return
    table = Table("what", "rule", "since (UTC)", "how it is", "told", title="Alerts")
    for one in alerts:
        state = "[red]stands[/]" if one.over_at is None else f"over {_time(one.over_at)}"
        told = "\n".join(map(_told, one.told)) or "nobody"
        since = f"{_time(one.raised_at)}\n{state}"
        table.add_row(escape(one.subject), one.rule.replace("_", " "), since, escape(one.text), told)
    output.print(table)
    if not settings.alerts.channels:
        output.print("alerts.channels has none: nothing is judged, and nobody is written to")


def _test(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="A name of alerts.channels.")],
    flow: Annotated[str | None, typer.Option("--flow", help="Whose owners are written to.")] = None,
    config: ConfigOption = None,
) -> None:
    settings = settings_of(config)
    recipients = _recipients(settings, channel, flow)
    sender = sender_of(settings.alerts.channels[channel])

    async def work() -> int | str:
        try:
            return await sender.send(trial_message(channel), recipients)
        except Undelivered as error:
            return error.reason

    result = run(work)
    if isinstance(result, str):
        errors.print(f"[bold red]error:[/] the channel {channel} took nothing: {escape(result)}")
        errors.print(f"  next step: check alerts.channels.{channel}, and whether it can be reached from here")
        raise typer.Exit(ExitCode.CHECK_FAILED)
    if result:
        errors.print(f"[bold red]error:[/] the mail server refused {result} of {len(recipients)} recipients")
        raise typer.Exit(ExitCode.CHECK_FAILED)
    output.print(f"the channel {channel} has taken a test notice", soft_wrap=True)


def _recipients(settings: Settings, channel: str, flow: str | None) -> tuple[str, ...]:
    known = sorted(settings.alerts.channels)
    if channel not in known:
        suggestion = did_you_mean(channel, known) or f"known are {', '.join(known) or 'none'}"
        usage_problem(f"alerts.channels has no {channel!r}; {suggestion}")
    if flow is not None and flow not in settings.flows:
        usage_problem(f"--flow: there is no flow {flow!r}; {did_you_mean(flow, sorted(settings.flows)) or ''}")
    chosen = settings.alerts.channels[channel]
    if not chosen.is_mail:
        return ()
    named = settings.model_copy(update={"alerts": settings.alerts.model_copy(update={"to": (channel,)})})
    if flow is not None:
        flows = {flow: settings.flows[flow].model_copy(update={"alert": None})}
        named = named.model_copy(update={"flows": flows})
    routes = addressees_of(named, flow).routes
    if not routes:
        where = "--flow: its owners are no addresses" if flow is not None else "name one with --flow"
        usage_problem(f"the recipients of {channel} are {' and '.join(OWNER_WORDS)} of a flow; {where}")
    return routes[0].recipients


def _told(one: TellingStatus) -> str:
    name = one.channel if not one.recipients else f"{one.channel} ({', '.join(one.recipients)})"
    told = f"{escape(name)}: not yet"
    if one.over_told_at is not None:
        told = f"{escape(name)}: {_time(one.over_told_at)} that it is over"
    elif one.told_at is not None:
        told = f"{escape(name)}: {_time(one.told_at)}"
    if one.failed_at is None:
        return told
    return f"{told}\n[red]{one.failures} failed, last {_time(one.failed_at)}: {escape(one.last_error or '')}[/]"


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"


def _as_json(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no JSON")
