"""Verbs that write to the database: ``migrate``, ``emit``."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.cli.common import ConfigOption, JsonOption, output, run, settings_of
from outbox.postgres.emit import Emitted, emit
from outbox.postgres.migrate import MigrationReport, migrate
from outbox.wiring import direct_server, postgres_server

_MIGRATE = """\
Bring the database's outbox and inbox schema to this program's version. Safe to repeat, also at the same time.

Examples: outbox migrate --dry-run · outbox migrate
"""
_EMIT = """\
Commit one event, as an application would, and print its id.

With --idempotency-key the same call can be repeated, for example after a lost connection: a repeat adds nothing, prints
the first event's id and says on standard error that it was a repeat; the same key for another event is refused.

Examples: outbox emit order.confirmed SO-1001 '{"order_ref": "SO-1001", "amount": "12.50"}' ·
outbox emit order.confirmed SO-1001 '{"amount": "12.50"}' --idempotency-key SO-1001-confirmed --json
"""

# An integer of PostgreSQL.
_MAX_VERSION = 2**31 - 1


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command("migrate", help=_MIGRATE)(_migrate)
    app.command("emit", help=_EMIT)(_emit)


def _migrate(
    config: ConfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, then undo it.")] = False,
    as_json: JsonOption = False,
) -> None:
    server = direct_server(settings_of(config), name="outbox-migrate")

    async def work() -> MigrationReport:
        return await migrate(server, is_dry_run=dry_run, on_step=lambda step: None if as_json else output.print(step))

    report = run(work)
    if as_json:
        output.print_json(
            data={
                "version": report.version,
                "applied": list(report.applied),
                "replaced": list(report.replaced),
                "is_dry_run": dry_run,
            }
        )
        return
    if not report.applied and not report.replaced:
        output.print(f"schema version {report.version}: nothing to do")
    else:
        done = "would be applied" if dry_run else "applied"
        counts = f"{len(report.applied)} migrations and {len(report.replaced)} functions"
        output.print(f"schema version {report.version}: {counts} {done}")


def _emit(
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="Event type, for example order.confirmed.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help='Ordering key; "" for an event without order.')],
    payload: Annotated[str, typer.Argument(metavar="JSON", help="Payload, kept byte for byte.")],
    config: ConfigOption = None,
    headers: Annotated[str | None, typer.Option("--headers", help="JSON object, for example traceparent.")] = None,
    version: Annotated[
        int, typer.Option("--version", help="Version of the type's contract.", min=1, max=_MAX_VERSION)
    ] = 1,
    idempotency_key: Annotated[
        str | None,
        typer.Option("--idempotency-key", help="Name of this call; a second call of that name adds nothing."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    server = postgres_server(settings_of(config), name="outbox-emit")

    async def work() -> Emitted:
        return await emit(
            server,
            event_type=event_type,
            key=key or None,
            payload=payload,
            headers=headers,
            version=version,
            idempotency_key=idempotency_key,
        )

    emitted = run(work)
    if as_json:
        output.print_json(data=emitted._asdict())
        return
    if idempotency_key is not None:
        # Not on standard output: scripts take the id from there.
        note = "new: the event is committed" if emitted.is_new else "repeat: nothing was added, this event was there"
        typer.echo(note, err=True)
    typer.echo(emitted.event_id)
