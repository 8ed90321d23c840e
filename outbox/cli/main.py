"""The ``outbox`` command."""

from __future__ import annotations

import sys
import traceback

import typer

from outbox.cli import (
    circuit,
    database,
    dead,
    inspect,
    lanes,
    once,
    partitions,
    processes,
    rebase,
    rejected,
    replay,
    topology,
    unrouted,
)
from outbox.model.errors import ExitCode

# A line break inside a paragraph would stay one, wherever the terminal wraps.
_EPILOG = (
    "Exit codes: 0 done · 1 a check failed · 2 wrong usage · 69 database or broker away · 70 a bug · "
    "75 the drain took too long or was cut short · 77 user, password or permission refused · "
    "78 wrong configuration, schema or server."
    "\n\n"
    "Settings come from one YAML file and OUTBOX_* variables; with only OUTBOX_PG_URL and OUTBOX_AMQP_URL set, "
    '"outbox migrate" and "outbox relay" work.'
)

app = typer.Typer(
    name="outbox",
    help="Publishes what an application commits, and applies it to other systems exactly once, in order for its key.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
database.add_to(app)
processes.add_to(app)
inspect.add_to(app)
topology.add_to(app)
partitions.add_to(app)
lanes.add_to(app)
rebase.add_to(app)
unrouted.add_to(app)
rejected.add_to(app)
circuit.add_to(app)
replay.add_to(app)
once.add_to(app)
dead.add_to(app)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except Exception:  # noqa: BLE001 - the very top: Python's own code for a traceback means "a check failed" here
        traceback.print_exc()
        sys.exit(ExitCode.INTERNAL_ERROR)
