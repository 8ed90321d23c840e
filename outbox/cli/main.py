"""The ``outbox`` command."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from outbox.model.errors import ExitCode

# A line break inside a paragraph would stay one, wherever the terminal wraps.
_EPILOG = (
    "Exit codes: 0 done · 1 a check failed, or a question was declined · 2 wrong usage · "
    "69 database or broker away · 70 a bug · "
    "75 the drain took too long or was cut short · 77 user, password or permission refused · "
    "78 wrong configuration, schema or server · 130 interrupted."
    "\n\n"
    "Settings come from one YAML file and OUTBOX_* variables; with only OUTBOX_PG_URL and OUTBOX_AMQP_URL set, "
    '"outbox migrate" and "outbox relay" work.'
)
# Each verb and the module of `outbox.cli` that has it, in the order of the help.
VERBS: Mapping[str, str] = {
    "migrate": "database",
    "emit": "database",
    "run": "processes",
    "relay": "processes",
    "consume": "processes",
    "intake": "intake",
    "status": "inspect",
    "config": "inspect",
    "check": "check",
    "flows": "flows",
    "alerts": "alerts",
    "topology": "topology",
    "partitions": "partitions",
    "lanes": "lanes",
    "rebase": "rebase",
    "unrouted": "unrouted",
    "rejected": "rejected",
    "circuit": "circuit",
    "replay": "replay",
    "reconcile": "reconcile",
    "map": "map",
    "once": "once",
    "dead": "dead",
    "xref": "xref",
    "contract": "contract",
    "asyncapi": "asyncapi",
}


class _Verbs(TyperGroup):
    """Loads a verb when it is called: the clients of database, broker and HTTP together take longer than most verbs."""

    # The library's own types for these are private.
    def list_commands(self, _ctx: object) -> list[str]:
        return list(VERBS)

    def get_command(self, _ctx: object, cmd_name: str) -> Any:  # noqa: ANN401
        if cmd_name in VERBS and cmd_name not in self.commands:
            part = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False, callback=_nothing)
            import_module(f"outbox.cli.{VERBS[cmd_name]}").add_to(part)
            self.commands.update(typer.main.get_group(part).commands)
        return self.commands.get(cmd_name)


def _nothing() -> None:
    """Make a group of what would be a program of one verb."""


app = typer.Typer(
    name="outbox",
    cls=_Verbs,
    callback=_nothing,
    help="Publishes what an application commits, and applies it to other systems exactly once, in order for its key.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except Exception:  # noqa: BLE001 - the very top: Python's own code for a traceback means "a check failed" here
        traceback.print_exc()
        sys.exit(ExitCode.INTERNAL_ERROR)
