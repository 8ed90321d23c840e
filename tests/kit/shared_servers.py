"""One private PostgreSQL and RabbitMQ for a whole test run, started beside the first unit tests.

The run's first process owns them; workers read from a file where they are.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from outbox.postgres.connection import PostgresServer
from outbox.postgres.migrate import migrate
from sandbox.servers import private_servers
from tests.kit.urls import with_database

FILE_VARIABLE = "SANDBOX_SHARED_SERVERS"
TEMPLATE = "outbox_template"
_WAIT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the servers of this run are. Without ``management_url``, all tests share one virtual host."""

    pg_url: str
    amqp_url: str
    management_url: str | None


class SharedServers:
    """Owned by the process that started the test run."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="outbox-tests-")
        self._file = Path(self._folder.name) / "servers.json"
        self._stack = ExitStack()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="shared-servers", daemon=True)
        os.environ[FILE_VARIABLE] = str(self._file)

    def start(self) -> None:
        """Start in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End them and wait for the end."""
        self._done.set()
        self._thread.join(timeout=60)
        self._folder.cleanup()

    def _serve(self) -> None:
        try:
            with private_servers(is_durable=False) as servers:
                asyncio.run(_make_template(servers.pg_url))
                self._tell(
                    {"pg_url": servers.pg_url, "amqp_url": servers.amqp_url, "management_url": servers.management_url}
                )
                self._done.wait()
        except BaseException as error:
            self._tell({"error": f"{type(error).__name__}: {error}"})
            raise

    def _tell(self, content: dict[str, str | None]) -> None:
        draft = self._file.with_suffix(".draft")
        draft.write_text(json.dumps(content), encoding="utf-8")
        draft.replace(self._file)


def addresses() -> Addresses:
    """Wait for the servers of this run and return where they are."""
    name = os.environ.get(FILE_VARIABLE)
    if name is None:
        raise RuntimeError("this run started no servers: it was asked for unit tests only")
    file, deadline = Path(name), time.monotonic() + _WAIT_SECONDS
    while not file.exists():
        if time.monotonic() > deadline:
            raise TimeoutError("the test servers did not start")
        threading.Event().wait(0.05)
    content = json.loads(file.read_text(encoding="utf-8"))
    if "error" in content:
        raise RuntimeError(f"the test servers did not start: {content['error']}")
    return Addresses(**content)


async def _make_template(pg_url: str) -> None:
    connection = await asyncpg.connect(pg_url)
    try:
        await connection.execute(f"drop database if exists {TEMPLATE} with (force)")
        await connection.execute(f"create database {TEMPLATE}")
    finally:
        await connection.close()
    await migrate(PostgresServer(with_database(pg_url, TEMPLATE)))
