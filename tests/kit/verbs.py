"""The ``outbox`` command inside the test's own process, in a thread: for tests that call it many times."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from typer.testing import CliRunner

from outbox.cli.main import app
from tests.kit.cli import REFUSED_AMQP_URL, Ended


@dataclass(frozen=True, slots=True)
class Verbs:
    """Answers as `tests.kit.cli.Cli` does, without the second that a process takes to begin."""

    folder: Path
    pg_url: str

    async def __call__(self, *arguments: str, typed: str | None = None) -> Ended:
        return await asyncio.to_thread(self._call, arguments, typed)

    def _call(self, arguments: tuple[str, ...], typed: str | None) -> Ended:
        settings = self.folder / "none.yaml"
        settings.touch()
        gone: dict[str, str | None] = {name: None for name in os.environ if name.startswith("OUTBOX_")}
        ours = {"OUTBOX_PG_URL": self.pg_url, "OUTBOX_AMQP_URL": REFUSED_AMQP_URL, "OUTBOX_CONFIG": str(settings)}
        # The log of this process is not the command's, whose standard error is gone when it has ended.
        with mock.patch("outbox.telemetry.logs.configure"):
            result = CliRunner().invoke(app, arguments, env=gone | ours | {"COLUMNS": "200"}, input=typed)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)
