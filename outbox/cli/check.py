"""``outbox check``: everything that can be wrong, looked at before it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, replace
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from outbox.cli import check_intake
from outbox.cli.common import ConfigOption, JsonOption, output, run, settings_of
from outbox.cli.recollection import recollection
from outbox.config.audience import unheard, unused_channels
from outbox.config.inventory import warnings_of
from outbox.config.settings import Settings
from outbox.model.contract import contract_name
from outbox.model.doctor import Finding, Result, cursor, lanes, memory, schema, target
from outbox.model.errors import AccessRefused, ExitCode, Misconfigured, OutboxError, Unavailable
from outbox.postgres.connection import PostgresServer, connect
from outbox.postgres.lanes import lanes_session
from outbox.postgres.migrate import compare
from outbox.postgres.partition_store import PartitionStore
from outbox.postgres.rebase import rebase_session
from outbox.postgres.status import read_inbox, read_outbox
from outbox.rabbitmq.apply import check
from outbox.wiring import STREAM, adapter_notes, postgres_server
from outbox.wiring_contracts import contracts_of
from outbox.wiring_management import management_server
from outbox.wiring_rabbitmq import rabbit_server, routes
from outbox.wiring_reconcile import reconcile_notes
from outbox.wiring_targets import adapters_of
from outbox.wiring_versions import casts_of

_CHECK = """\
Look at everything that can be wrong, and end with 1 when something is: settings, contracts, schema, outbox, inbox,
lanes, cursor, memory, intake, broker, and the targets as far as a flow's adapter.check has a question for them. What
the user of this process may not see is "not seen": run it as the relay, as the consumers, and as the intake.

Changes nothing. --strict takes what a flow's owner has left unsaid for wrong.

Examples: outbox check · outbox check --json · outbox check --strict
"""
_STYLES = {Result.RIGHT: "green", Result.WRONG: "bold red", Result.NOTE: "yellow", Result.UNSEEN: "yellow"}


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command("check", help=_CHECK)(_check)


def _check(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    strict: Annotated[bool, typer.Option("--strict", help="A flow without owner, alert or on_dead is wrong.")] = False,
) -> None:
    settings = settings_of(config)

    async def work() -> list[Finding]:
        return [finding async for finding in _findings(settings, is_strict=strict)]

    findings = run(work)
    if as_json:
        output.print_json(data=[asdict(finding) for finding in findings])
    else:
        output.print(_table(findings))
    if any(finding.result is Result.WRONG for finding in findings):
        raise typer.Exit(ExitCode.CHECK_FAILED)


async def _findings(settings: Settings, *, is_strict: bool) -> AsyncIterator[Finding]:
    # They were read, or nobody would be here.
    flows, connections = len(settings.flows), len(settings.connections)
    yield Finding("settings", Result.RIGHT, f"{flows} flow(s), {connections} connection(s)")
    unsaid = Result.WRONG if is_strict else Result.NOTE
    for name, flow in settings.flows.items():
        for warning in (*warnings_of(flow), *unheard(settings, name)):
            yield Finding(f"flow {name}", unsaid, warning)
    for finding in (*check_intake.senders(settings.intake), *_alerts(settings)):
        yield finding
    for finding in await _looked("contracts", _contracts, settings, refused=Result.WRONG):
        yield finding
    for finding in await _looked("database", _database, settings, refused=Result.WRONG):
        yield finding
    # A login that is refused, the database has told.
    for finding in await _looked("memory", _memory, settings, refused=Result.UNSEEN):
        yield finding
    for finding in await _looked("broker", _broker, settings, refused=Result.WRONG):
        yield finding
    for finding in await _targets(settings):
        yield finding


def _alerts(settings: Settings) -> list[Finding]:
    """Look at who is written to. Nothing is sent: a check that writes to people is a nuisance, "alerts test" does."""
    if not settings.alerts.channels:
        return []
    return [
        *(Finding("alerts", Result.NOTE, f"nothing names the channel {name}") for name in unused_channels(settings)),
        *(Finding("alerts", Result.NOTE, f"relay and settings: {why}") for why in unheard(settings, None)),
    ]


async def _looked(
    subject: str, look: Callable[[Settings], Awaitable[list[Finding]]], settings: Settings, *, refused: Result
) -> list[Finding]:
    """Look; that one thing cannot be looked at must not hide the others."""
    try:
        return await look(settings)
    except Misconfigured as error:
        result = refused if isinstance(error, AccessRefused) else Result.WRONG
        return [Finding(subject, result, error.problem, error.next_step)]
    except OutboxError as error:
        next_step = error.next_step if isinstance(error, Unavailable) else None
        return [Finding(subject, Result.WRONG, str(error), next_step)]


async def _contracts(settings: Settings) -> list[Finding]:
    for name in settings.flows:
        casts_of(settings, name)
    known = contracts_of(settings)
    unchecked = check_intake.unchecked(settings, known)
    if settings.contracts.directory is None:
        return [*unchecked]
    contracts = known.contracts.values()
    types = len({contract.key.type for contract in contracts})
    ending = [one for one in contracts if one.deprecated_on is not None]
    return [
        Finding("contracts", Result.RIGHT, f"{len(contracts)} contract(s) of {types} type(s)"),
        *(
            Finding("contracts", Result.NOTE, f"{contract_name(*one.key)} is deprecated on {one.deprecated_on}")
            for one in ending
        ),
        *unchecked,
    ]


async def _database(settings: Settings) -> list[Finding]:
    async with connect(_server(settings)):
        pass
    looks = {"database": _schema, "outbox": _outbox, "inbox": _inbox, "lanes": _lanes, "cursor": _cursor}
    if settings.intake.is_active:
        looks["intake"] = _intake
    found = [
        finding
        for subject, look in looks.items()
        for finding in await _looked(subject, look, settings, refused=Result.UNSEEN)
    ]
    if all(finding.result is Result.UNSEEN for finding in found):
        # Whoever this is can neither publish nor apply.
        return [replace(finding, result=Result.WRONG) for finding in found]
    return found


async def _schema(settings: Settings) -> list[Finding]:
    report = await compare(_server(settings))
    return [schema(report.applied, report.replaced)]


async def _outbox(settings: Settings) -> list[Finding]:
    await read_outbox(_server(settings), STREAM)
    return [Finding("outbox", Result.RIGHT, "this user can publish")]


async def _inbox(settings: Settings) -> list[Finding]:
    await read_inbox(_server(settings))
    return [Finding("inbox", Result.RIGHT, "this user can apply")]


async def _lanes(settings: Settings) -> list[Finding]:
    async with lanes_session(_server(settings), STREAM) as session:
        _, actual = await session.origin()
    return [lanes(settings.relay.lanes, actual)]


async def _cursor(settings: Settings) -> list[Finding]:
    async with rebase_session(_server(settings), STREAM) as session:
        return [cursor(await session.home(await recollection(settings, session)))]


async def _intake(settings: Settings) -> list[Finding]:
    server = _server(settings)
    # Whoever may not take events has no use for the clock, which anybody may ask.
    return [*await check_intake.rights(server), *await check_intake.clock(settings, server)]


async def _memory(settings: Settings) -> list[Finding]:
    async with PartitionStore(_server(settings), stream=STREAM).session() as session:
        partitions = await session.survey()
    return [
        memory(
            partitions,
            remembered_seconds=settings.remembered_seconds(),
            queue_life_seconds=settings.inbox.queue_life,
        )
    ]


async def _broker(settings: Settings) -> list[Finding]:
    survey, verdict = await check(
        rabbit_server(settings),
        management_server(settings),
        routes(settings),
        lanes=settings.relay.lanes,
        max_payload_bytes=settings.rabbitmq.max_payload_bytes,
    )
    wrong = [
        Finding(one.thing, Result.WRONG, f"found {one.found}, wanted {one.wanted}", one.next_step)
        for one in verdict.deviations
    ]
    right = Finding("broker", Result.RIGHT, f"RabbitMQ {survey.version} has what mode {survey.desired.mode} needs")
    return [
        *(wrong or [right]),
        *(Finding("broker", Result.NOTE, note) for note in verdict.notes),
        *(Finding("broker", Result.UNSEEN, unseen) for unseen in verdict.unseen),
    ]


async def _targets(settings: Settings) -> list[Finding]:
    adapters = adapters_of(settings)
    try:
        async with asyncio.TaskGroup() as group:
            asked = {name: group.create_task(adapter.check()) for name, adapter in adapters.items()}
    finally:
        for adapter in adapters.values():
            await adapter.close()
    found = [target(name, settings.flows[name].adapter.connection, one.result()) for name, one in asked.items()]
    notes = adapter_notes(settings).items()
    return [
        *found,
        *(Finding(f"target of {name}", Result.NOTE, note) for name, said in notes for note in said),
        *(Finding(f"totals of {name}", Result.NOTE, note) for name, note in reconcile_notes(settings)),
    ]


def _server(settings: Settings) -> PostgresServer:
    return postgres_server(settings, name="outbox-check")


def _table(findings: list[Finding]) -> Table:
    table = Table(show_edge=False)
    for heading in ("what", "", "how it is, and the next step"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        step = "" if finding.next_step is None else f"\nnext step: {finding.next_step}"
        result = f"[{_STYLES[finding.result]}]{finding.result}[/]"
        table.add_row(escape(finding.subject), result, escape(finding.text + step))
    return table
