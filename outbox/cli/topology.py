"""The verbs of ``outbox topology``: ``apply``, ``print``, ``check``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from outbox.cli.common import ConfigOption, JsonOption, output, run, settings_of, usage_problem
from outbox.model.amqp_url import AmqpUrl
from outbox.model.errors import ExitCode
from outbox.rabbitmq.apply import Survey, apply, check, plan_for, version_of
from outbox.rabbitmq.definitions import definitions
from outbox.rabbitmq.desired import Desired, desired
from outbox.rabbitmq.judge import Deviation, Verdict
from outbox.rabbitmq.plan import Plan
from outbox.rabbitmq.version import BrokerVersion, supported
from outbox.wiring_management import management_server
from outbox.wiring_rabbitmq import rabbit_server, routes

_TOPOLOGY = """\
Exchanges, queues, bindings and policies on the broker: show what is needed, make it, compare.

Examples: outbox topology print · outbox topology apply --dry-run · outbox topology check
"""
_PRINT = """\
Show what the broker must have, by the mode in rabbitmq.topology and the broker's version. Changes nothing.

Examples: outbox topology print · outbox topology print --definitions > definitions.json
(for rabbitmqctl import_definitions definitions.json) · outbox topology print --broker-version 4.1
"""
_APPLY = """\
Make what is missing: policies first, then exchanges, queues and bindings. Never deletes; safe to repeat.

Examples: outbox topology apply --dry-run · outbox topology apply
"""
_CHECK = """\
Compare the broker with what it must have, and end with 1 when something deviates. Changes nothing.

Examples: outbox topology check · outbox topology check --json
"""

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be made.")]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    verbs = typer.Typer(help=_TOPOLOGY, no_args_is_help=True, rich_markup_mode="rich")
    verbs.command("print", help=_PRINT)(_print)
    verbs.command("apply", help=_APPLY)(_apply)
    verbs.command("check", help=_CHECK)(_check)
    app.add_typer(verbs, name="topology")


def _print(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    as_definitions: Annotated[
        bool, typer.Option("--definitions", help="RabbitMQ's own definitions, to be imported.")
    ] = False,
    broker_version: Annotated[
        str | None, typer.Option("--broker-version", help="For a broker of this version, without asking one.")
    ] = None,
) -> None:
    if as_json and as_definitions:
        usage_problem("--json and --definitions are two ways to print; choose one")
    settings = settings_of(config)
    server = rabbit_server(settings)

    async def work() -> BrokerVersion:
        return await version_of(server) if broker_version is None else supported(broker_version)

    version = run(work)
    wanted = desired(routes(settings), server.topology, version, settings.relay.lanes)
    if as_definitions:
        output.print_json(data=definitions(wanted, AmqpUrl.parse(server.url).vhost))
    elif as_json:
        output.print_json(data={"mode": str(wanted.mode), "broker_version": str(version), **_plain(wanted)})
    else:
        output.print(f"mode {wanted.mode}, for RabbitMQ {version}")
        _print_tables(wanted)


def _apply(config: ConfigOption = None, dry_run: DryRunOption = False, as_json: JsonOption = False) -> None:
    settings = settings_of(config)
    server, management, flows = rabbit_server(settings), management_server(settings), routes(settings)

    async def work() -> tuple[Survey, Plan]:
        return await (plan_for if dry_run else apply)(server, management, flows, lanes=settings.relay.lanes)

    survey, done = run(work)
    if as_json:
        output.print_json(
            data={
                "mode": str(survey.desired.mode),
                "broker_version": str(survey.version),
                "is_dry_run": dry_run,
                "steps": [{"action": s.action, "thing": s.thing, "detail": s.detail} for s in done.changes()],
                "problems": _rows(done.problems),
                "notes": list(done.notes),
            }
        )
    else:
        _print_plan(done, is_dry_run=dry_run)
    if done.problems:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    settings = settings_of(config)
    server, management, flows = rabbit_server(settings), management_server(settings), routes(settings)

    async def work() -> tuple[Survey, Verdict]:
        return await check(
            server,
            management,
            flows,
            lanes=settings.relay.lanes,
            max_payload_bytes=settings.rabbitmq.max_payload_bytes,
        )

    survey, verdict = run(work)
    if as_json:
        output.print_json(
            data={
                "mode": str(survey.desired.mode),
                "broker_version": str(survey.version),
                "deviations": _rows(verdict.deviations),
                "notes": list(verdict.notes),
                "unseen": list(verdict.unseen),
            }
        )
    else:
        _print_verdict(survey, verdict)
    if verdict.deviations:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _print_tables(wanted: Desired) -> None:
    exchanges = _table("exchange", "type", "arguments")
    for exchange in wanted.exchanges:
        exchanges.add_row(exchange.name, exchange.kind.value, _settings(exchange.arguments(wanted.mode)))
    queues = _table("queue", "arguments", "bound to")
    for queue in wanted.queues:
        keys = ", ".join(queue.routing_keys)
        queues.add_row(queue.name, _settings(queue.arguments(wanted.mode)), f"{queue.exchange} {keys}".rstrip())
    output.print(exchanges)
    output.print(queues)
    if wanted.policies:
        policies = _table("policy", "pattern", "apply to", "definition")
        for policy in wanted.policies:
            policies.add_row(policy.name, escape(policy.pattern), policy.apply_to, _settings(policy.definition))
        output.print(policies)


def _table(*headings: str) -> Table:
    table = Table(title_justify="left")
    for heading in headings:
        # Cut off, a name or a pattern would be useless.
        table.add_column(heading, overflow="fold")
    return table


def _print_plan(done: Plan, *, is_dry_run: bool) -> None:
    prefix = "would " if is_dry_run else ""
    for step in done.changes():
        output.print(f"{prefix}{step.action} {step.thing}: {escape(step.detail)}", soft_wrap=True)
    if not done.changes() and not done.problems:
        output.print("everything is there: nothing to do")
    _print_lines("note", done.notes)
    _print_lines("problem", [str(problem) for problem in done.problems])


def _print_verdict(survey: Survey, verdict: Verdict) -> None:
    for deviation in verdict.deviations:
        output.print(escape(str(deviation)), soft_wrap=True)
    _print_lines("note", verdict.notes)
    _print_lines("not seen", verdict.unseen)
    count = len(verdict.deviations)
    seen = "everything that can be seen is right" if verdict.unseen else "everything is right"
    summary = seen if not count else f"{count} deviation{'' if count == 1 else 's'}"
    output.print(f"mode {survey.desired.mode}, RabbitMQ {survey.version}: {summary}")


def _print_lines(kind: str, lines: Sequence[str]) -> None:
    for line in lines:
        output.print(f"{kind}: {escape(line)}", soft_wrap=True)


def _rows(deviations: Sequence[Deviation]) -> list[dict[str, str]]:
    return [asdict(deviation) for deviation in deviations]


def _plain(wanted: Desired) -> dict[str, object]:
    return {
        "exchanges": [
            {"name": one.name, "type": one.kind.value, "arguments": one.arguments(wanted.mode)}
            for one in wanted.exchanges
        ],
        "queues": [{"name": one.name, "arguments": one.arguments(wanted.mode)} for one in wanted.queues],
        "bindings": [
            {"source": source, "queue": queue, "routing_key": key} for source, queue, key in wanted.bindings()
        ],
        "policies": [{"name": policy.name, **policy.body()} for policy in wanted.policies],
    }


def _settings(settings: Mapping[str, object]) -> str:
    return "\n".join(f"{name}={value}" for name, value in settings.items())
