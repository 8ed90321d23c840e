"""The ``outbox`` command inside the test's own process, in a thread: for tests that call it many times."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from unittest import mock

from typer.testing import CliRunner

from outbox.cli.main import app
from tests.kit.cli import Cli, Ended

# They listen to signals, which only a process of their own gets.
_PROCESSES = frozenset({"relay", "consume", "run"})


@dataclass(frozen=True, slots=True)
class Verbs(Cli):
    """Answers as a `Cli` does, without the second that a process takes to begin."""

    async def __call__(
        self, *arguments: str, typed: str | None = None, within_seconds: float = 30.0, **variables: str
    ) -> Ended:
        """Run a verb to its end. ``typed``: its standard input."""
        if arguments[0] in _PROCESSES:
            return await Cli.__call__(self, *arguments, within_seconds=within_seconds, **variables)
        return await asyncio.to_thread(self._call, arguments, typed, self.environment(**variables))

    def _call(self, arguments: tuple[str, ...], typed: str | None, environment: Mapping[str, str]) -> Ended:
        settings = self.folder / "outbox.yaml"
        settings.touch()
        gone: dict[str, str | None] = {name: None for name in os.environ if name not in environment}
        # The log of this process is not the command's, whose standard error is gone when it has ended.
        with mock.patch("outbox.telemetry.logs.configure"):
            result = CliRunner().invoke(
                app,
                arguments,
                env=gone | dict(environment) | {"OUTBOX_CONFIG": str(settings), "COLUMNS": "200"},
                input=typed,
            )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)
