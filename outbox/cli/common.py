"""What every command shares: settings, running, and ending with a message instead of a traceback."""

from __future__ import annotations

import gc
import getpass
import os
import socket
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
import uvloop
from rich.console import Console
from rich.markup import escape

from adapters.registry import ADAPTERS
from outbox.config.settings import Settings
from outbox.config.source import SettingsSource
from outbox.model.errors import ExitCode, OutboxError, Unavailable
from outbox.model.units import parse_seconds
from outbox.telemetry import logs
from outbox.wiring import check_flows

T = TypeVar("T")

_COLLECT_AFTER = (50_000, 20, 20)

errors = Console(stderr=True, highlight=False, soft_wrap=True)
output = Console(highlight=False)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Settings file; else OUTBOX_CONFIG, else ./outbox.yaml if it exists."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON for programs instead of a table.")]
AsOption = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who decides; else who is logged in here.")]


def source_of(config: Path | None, mappings: Mapping[str, Path] | None = None) -> SettingsSource:
    """Return where the settings are. ``mappings``: files that stand in for the mappings of flows."""
    adapters = {name: kind.settings for name, kind in ADAPTERS.items()}
    return SettingsSource(config, os.environ, adapters, check_flows, mappings=mappings)


def settings_of(config: Path | None, mappings: Mapping[str, Path] | None = None) -> Settings:
    """Load the settings, or end with every problem. ``mappings``: as `source_of`."""
    return settings_from(source_of(config, mappings))


def settings_from(source: SettingsSource) -> Settings:
    """Load the settings from their source, or end with every problem."""
    try:
        settings = source.read()
    except OutboxError as error:
        fail(error)
    logs.configure(style=settings.log.format, level=settings.log.level)
    return settings


def run(work: Callable[[], Coroutine[None, None, T]]) -> T:
    """Run asynchronous work; what it raises on purpose ends the program with its exit code."""
    # What is imported stays, and a page of events is thousands of objects that are gone a moment later: the collector
    # would walk through both again and again.
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    try:
        return uvloop.run(work())
    except OutboxError as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def fail(error: OutboxError) -> NoReturn:
    """Print an error with its next step and end with its exit code."""
    errors.print(f"[bold red]error:[/] {escape(str(error))}")
    if isinstance(error, Unavailable):
        errors.print(f"  next step: {escape(error.next_step)}")
    raise typer.Exit(error.exit_code)


def usage_problem(text: str) -> NoReturn:
    """End because of how the command was called."""
    errors.print(f"[bold red]error:[/] {escape(text)}")
    raise typer.Exit(ExitCode.USAGE)


def time_of(option: str, text: str) -> datetime:
    """Return the time that an option was given; without an offset it is UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        usage_problem(f"{option}: {text!r} is no time; write it like 2026-03-31T22:00:00Z")
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def moment_of(option: str, text: str, now: datetime) -> datetime:
    """Return the time that an option was given, or with 2h the time two hours before ``now``."""
    if not (text[:1].isdigit() and text[-1:].isalpha() and text[-1:] != "Z"):
        return time_of(option, text)
    try:
        seconds = parse_seconds(text)
    except ValueError as error:
        usage_problem(f"{option}: {error}")
    return now - timedelta(seconds=seconds if isinstance(seconds, float) else 0)


def who_decides(name: str | None) -> str:
    """Return who is written into the audit."""
    if name is not None:
        return name
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # Containers run as users that have no name.
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def why_decided(why: str | None) -> str:
    """Return the reason that is written into the audit, or end because there is none."""
    if why is None or not why.strip():
        usage_problem("--why is missing: who reads the audit a year from now will ask")
    return why
