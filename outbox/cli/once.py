"""Verbs for services that consume events: ``once sql``."""

from __future__ import annotations

import typer

from outbox.cli.common import fail
from outbox.model.errors import OutboxError
from outbox.postgres.scripts import once

_ONCE = """\
What a consuming service needs to take each message once, with its effect in one transaction.

Examples: outbox once sql | psql postgresql://billing@localhost/billing
"""
_SQL = """\
Print the SQL that a consuming service installs in its own database, by its own role or its migrations: tables, and the
functions once.take and once.prune, in a schema of their own. Safe to run again. Needs no settings and no server.

Examples: outbox once sql | psql postgresql://billing@localhost/billing · outbox once sql > migrations/012_once.sql
"""


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    group = typer.Typer(help=_ONCE, no_args_is_help=True)
    group.command("sql", help=_SQL)(_sql)
    # A group with one command would become that command.
    group.callback()(lambda: None)
    app.add_typer(group, name="once")


def _sql() -> None:
    try:
        text = once()
    except OutboxError as error:
        fail(error)
    # Not through the console, which would wrap and colour it.
    typer.echo(text, nl=False)
