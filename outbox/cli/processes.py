"""Verbs that run: ``run``, ``relay``, ``consume``."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Annotated, NoReturn

import typer

from outbox.app import App, Roles
from outbox.cli.common import ConfigOption, run, settings_from, source_of, usage_problem
from outbox.config.settings import Settings
from outbox.config.source import SettingsSource
from outbox.model.errors import ExitCode
from outbox.supervisor import ServicesFailed

_RUN = """\
Run relay and consumers in one process, and the intake, if the settings name sources or clients for it.

Example: outbox run --config outbox.yaml
"""
_RELAY = """\
Publish committed events. Several may run: one leads, the others stand by.

Examples: outbox relay · outbox relay --drain (ends with 0 once everything committed is confirmed)
"""
_CONSUME = """\
Accept and apply the flows of the settings file. Several may run: they share the lanes.

Example: outbox consume --config outbox.yaml
"""


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command("run", help=_RUN)(_run)
    app.command("relay", help=_RELAY)(_relay)
    app.command("consume", help=_CONSUME)(_consume)


def _run(config: ConfigOption = None) -> None:
    _start(config, Roles(is_relay=True, is_consumer=True, is_intake=True))


def _relay(
    config: ConfigOption = None,
    drain: Annotated[bool, typer.Option("--drain", help="End once everything committed is confirmed.")] = False,
) -> None:
    _start(config, Roles(is_relay=True, is_draining=drain))


def _consume(config: ConfigOption = None) -> None:
    _start(config, Roles(is_consumer=True))


def _start(config: ConfigOption, roles: Roles) -> None:
    source, settings = heard_settings(config, is_draining=roles.is_draining)
    # Only "outbox run" asks for it here, which runs what there is.
    roles = replace(roles, is_intake=roles.is_intake and settings.intake.is_active)
    if roles.is_consumer and not roles.is_relay and not settings.flows:
        usage_problem("there is nothing to consume: the settings name no flows; add one under flows:")
    serve(source, settings, roles)


def heard_settings(config: ConfigOption, *, is_draining: bool = False) -> tuple[SettingsSource, Settings]:
    """Load the settings of a process that takes up changes, and where they are."""
    source = source_of(config)
    if not is_draining:
        # Noted from the first moment on: the settings may change between being read and being in effect.
        signal.signal(signal.SIGHUP, lambda *_: source.ask())
    return source, settings_from(source)


def serve(source: SettingsSource, settings: Settings, roles: Roles) -> NoReturn:
    """Run a process to its end, and end with its exit code."""

    async def work() -> ExitCode:
        return await App(settings, roles, None if roles.is_draining else source).run()

    try:
        code = run(work)
    except ServicesFailed:
        # The log has told each bug with its traceback.
        code = ExitCode.INTERNAL_ERROR
    raise typer.Exit(code)
