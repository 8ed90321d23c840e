"""The command loads a verb when it is called, and nothing that the verb does not need."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
import typer

from outbox.cli.main import VERBS

CLIENTS = {"asyncpg", "aio_pika", "aiohttp", "prometheus_client", "structlog"}
_LOADED = "import sys; from outbox.cli.main import app; app({arguments!r}, standalone_mode=False); print(*sys.modules)"


@pytest.mark.parametrize("module", sorted(set(VERBS.values())))
def test_every_verb_is_in_the_module_that_the_list_names(module: str) -> None:
    part = typer.Typer()

    import_module(f"outbox.cli.{module}").add_to(part)

    verbs = [each.name for each in (*part.registered_commands, *part.registered_groups)]
    assert verbs == [verb for verb, home in VERBS.items() if home == module]


@pytest.mark.parametrize(
    ("verb", "clients"),
    [
        ("dead", {"asyncpg", "structlog"}),
        ("status", {"asyncpg", "structlog"}),
        ("unrouted", {"aio_pika", "asyncpg", "structlog"}),
        ("relay", CLIENTS),
    ],
)
def test_a_verb_loads_the_clients_that_it_needs(verb: str, clients: set[str]) -> None:
    code = _LOADED.format(arguments=[verb, "--help"])

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert set(said.split()) & CLIENTS == clients


def test_the_help_lists_every_verb() -> None:
    code = _LOADED.format(arguments=["--help"])

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert [word for line in said.splitlines() if (word := line.strip("│ ").split(" ")[0]) in VERBS] == list(VERBS)
