"""A PostgreSQL cluster of one test module's own: a primary and a hot standby that follows it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from outbox.postgres.connection import PostgresServer
from outbox.postgres.migrate import migrate
from sandbox.binaries import find_postgres
from sandbox.ports import LOOPBACK, free_ports
from sandbox.private_postgres import PrivatePostgres
from sandbox.privileges import give, reachable_programs
from sandbox.server_process import ServerProcess
from sandbox.watchdog import Watchdog
from tests.kit.urls import with_port

_DEADLINE_SECONDS = 60.0
_STATUS_LINE = 7  # of postmaster.pid


@dataclass(frozen=True, slots=True)
class Cluster:
    primary_url: str
    standby_url: str


@contextmanager
def replicated_cluster() -> Iterator[Cluster]:
    """Start a migrated primary and a standby; both end with the block."""
    programs = find_postgres()
    if programs is None or not (programs / "pg_basebackup").is_file():
        pytest.skip("needs the programs of PostgreSQL, pg_basebackup too")
    with Watchdog() as watchdog:
        primary = PrivatePostgres(programs, watchdog=watchdog, is_durable=False)
        primary.start()
        asyncio.run(migrate(PostgresServer(primary.url)))
        standby_port = _start_standby(programs, primary, watchdog)
        yield Cluster(primary.url, with_port(primary.url, standby_port))


def _start_standby(programs: Path, primary: PrivatePostgres, watchdog: Watchdog) -> int:
    programs = reachable_programs(programs, copy=watchdog.folder / "standby-programs")
    folder = watchdog.folder / "standby"
    folder.mkdir(mode=0o700)
    give(folder)
    data = folder / "data"
    copying = watchdog.start(
        [programs / "pg_basebackup", "--pgdata", data, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"],
        folder=folder,
        environment=_client_environment(primary.url) | {"HOME": str(folder)},
        log=folder / "basebackup.log",
    )
    assert copying.wait(timeout=_DEADLINE_SECONDS) == 0, (folder / "basebackup.log").read_text()
    watchdog.forget(copying)
    (port,) = free_ports(1)

    def is_ready(_pid: int) -> bool:
        status = data / "postmaster.pid"
        lines = status.read_text().splitlines() if status.exists() else []
        return len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"

    ServerProcess("standby", watchdog=watchdog, folder=folder).start(
        [programs / "postgres", "-D", data, "-p", str(port)],
        environment={"HOME": str(folder)},
        ask=signal.SIGQUIT,
        is_ready=is_ready,
        deadline_seconds=_DEADLINE_SECONDS,
    )
    return port


def _client_environment(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    return {
        "PGHOST": LOOPBACK,
        "PGPORT": str(parts.port),
        "PGUSER": parts.username or "",
        "PGPASSWORD": parts.password or "",
    }
