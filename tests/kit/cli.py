"""The ``outbox`` command, called as people and Kubernetes call it."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from outbox.model.errors import ExitCode
from tests.kit.forked import fork
from tests.kit.process import Process

OUTBOX = Path(sys.executable).with_name("outbox")
_ROOT = Path(__file__).resolve().parents[2]
# Nothing listens on the discard port.
REFUSED_PORT = 9
REFUSED_PG_URL = f"postgresql://relay:pg-password@127.0.0.1:{REFUSED_PORT}/erp"
REFUSED_AMQP_URL = f"amqp://relay:mq-password@127.0.0.1:{REFUSED_PORT}/"
FLOW = "orders-to-crm"
_CHARACTERS_SHOWN = 5000
_KILL_SECONDS = 10.0


def one_flow(base_url: str = f"http://127.0.0.1:{REFUSED_PORT}", **connection: object) -> dict[str, object]:
    """Return the settings of a flow that is as quick as a test."""
    return {
        "inbox": {"lease": "3s", "poll": "20ms", "observe_every": "200ms"},
        "connections": {"crm": {"base_url": base_url} | connection},
        "flows": {
            FLOW: {
                "description": "Confirmed orders become deals.",
                "events": ["order.*"],
                "adapter": {
                    "use": "rest",
                    "connection": "crm",
                    "operations": {"*": {"method": "POST", "path": "/deals", "external_id": "deal.id"}},
                    "idempotency": {"window": "24h"},
                },
                # A message that fails where nothing else goes on counts at once.
                "retry": {"attempts": 3, "first": "50ms", "max": "200ms", "patience": "0s"},
                "circuit": {"first": "20ms", "max": "100ms"},
            },
        },
    }


@dataclass(frozen=True, slots=True)
class Ended:
    """What a call that came to its end has said."""

    code: int
    out: str
    err: str

    def refusal(self, code: ExitCode) -> str:
        """Check that it ended with this code and one message, and return the message in one line."""
        assert self.code == code, self
        assert "Traceback" not in self.err, self.err
        *_, last = self.err.rpartition("error: ")
        return " ".join(last.split())

    def json(self) -> Any:  # noqa: ANN401 - JSON is anything
        """Return what it printed for programs."""
        assert self.code == ExitCode.OK, self
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Cli:
    """The command in a folder of its own, with these settings and no others."""

    folder: Path
    pg_url: str = REFUSED_PG_URL
    amqp_url: str = REFUSED_AMQP_URL

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment of the process; an empty value takes a variable away."""
        names = {name: value for name, value in os.environ.items() if not name.startswith("OUTBOX_")}
        ours = {
            "OUTBOX_PG_URL": self.pg_url,
            "OUTBOX_AMQP_URL": self.amqp_url,
            "OUTBOX_HTTP_PORT": "0",
            # The tree that is tested, whichever the environment has installed.
            "PYTHONPATH": str(_ROOT),
        }
        return names | {name: value for name, value in (ours | variables).items() if value}

    def settings(self, sections: Mapping[str, object]) -> None:
        """Write the settings file, where the command finds it by itself."""
        # JSON is YAML.
        (self.folder / "outbox.yaml").write_text(json.dumps(sections), encoding="utf-8")

    async def __call__(self, *arguments: str, within_seconds: float = 30.0, **variables: str) -> Ended:
        """Run the command to its end."""
        # Files, not pipes: what a command wrote that had to be killed is worth reading.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = await fork(
                arguments,
                env=self.environment(**variables),
                folder=self.folder,
                stdout=out.fileno(),
                stderr=err.fileno(),
            )
            try:
                code = await process.wait(within_seconds=within_seconds)
            except BaseException as error:
                process.send_signal(signal.SIGKILL)
                await process.wait(within_seconds=_KILL_SECONDS)
                error.add_note(f"outbox {' '.join(arguments)} did not end: {_text(err)[-_CHARACTERS_SHOWN:]}")
                raise
            return Ended(code, _text(out), _text(err))

    async def start(self, *arguments: str, **variables: str) -> Process:
        """Start a command that stays; its log is JSON. The caller ends it."""
        log = {"OUTBOX_LOG_FORMAT": "json", "OUTBOX_LOG_LEVEL": "debug"}
        return await Process.start(
            arguments[0], arguments, env=self.environment(**log, **variables), folder=self.folder
        )

    @asynccontextmanager
    async def running(self, *arguments: str, **variables: str) -> AsyncIterator[Process]:
        """Run a command that stays for the length of the block; then it must drain and end well."""
        process = await self.start(*arguments, **variables)
        try:
            yield process
            process.ask_to_end()
            assert await process.ended() == ExitCode.OK, process.tail()
        finally:
            await process.kill()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()
