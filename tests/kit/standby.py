"""A PostgreSQL cluster of one test module's own: a primary and a hot standby that streams from it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from outbox.postgres.connection import PostgresServer
from outbox.postgres.migrate import migrate
from sandbox.binaries import find_postgres
from sandbox.ports import LOOPBACK, free_ports
from sandbox.private_postgres import PrivatePostgres
from sandbox.privileges import give, reachable_programs
from sandbox.server_process import ServerProcess
from sandbox.watchdog import Watchdog
from tests.kit.urls import port_of, with_hosts, with_port
from tests.kit.waiting import until

_DEADLINE_SECONDS = 60.0
_STATUS_LINE = 7  # of postmaster.pid


_HAS_SYNCHRONOUS_STANDBY = "select count(*) > 0 from pg_stat_replication where sync_state = 'sync'"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Two servers; what blocks runs for seconds, so asyncio callers use a thread."""

    primary_url: str
    standby_url: str
    _programs: Path
    _primary: PrivatePostgres
    _watchdog: Watchdog

    @property
    def url(self) -> str:
        """The database that is migrated from the start, on both servers."""
        return self.both(self.primary_url)

    def both(self, pg_url: str) -> str:
        """Return the URL of a database with both servers, the first primary first."""
        return with_hosts(pg_url, port_of(self.primary_url), port_of(self.standby_url))

    async def commit_on_both(self) -> None:
        """From now on a commit is acknowledged only when the standby has it."""
        connection = await asyncpg.connect(self.primary_url)
        try:
            await connection.execute("alter system set synchronous_standby_names = '*'")
            await connection.execute("select pg_reload_conf()")

            async def is_synchronous() -> object:
                return await connection.fetchval(_HAS_SYNCHRONOUS_STANDBY)

            await until(is_synchronous, what="the standby is synchronous")
        finally:
            await connection.close()

    def kill_primary(self) -> None:
        """Kill every process of the primary, as a power cut would."""
        self._primary.kill()

    async def promote(self) -> None:
        """Make the standby a primary; it takes writes when this returns."""
        connection = await asyncpg.connect(self.standby_url)
        try:
            assert await connection.fetchval("select pg_promote(wait => true, wait_seconds => 30)")
        finally:
            await connection.close()

    def rejoin(self) -> None:
        """Bring the old primary back at its port, as a standby of the new one."""
        _start_standby(
            self._programs, self.standby_url, self._watchdog, name="rejoined", port=port_of(self.primary_url)
        )


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
        (port,) = free_ports(1)
        _start_standby(programs, primary.url, watchdog, name="standby", port=port)
        yield Cluster(primary.url, with_port(primary.url, port), programs, primary, watchdog)


def _start_standby(programs: Path, source_url: str, watchdog: Watchdog, *, name: str, port: int) -> None:
    programs = reachable_programs(programs, copy=watchdog.folder / f"{name}-programs")
    folder = watchdog.folder / name
    folder.mkdir(mode=0o700)
    give(folder)
    data = folder / "data"
    copying = watchdog.start(
        [programs / "pg_basebackup", "--pgdata", data, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"],
        folder=folder,
        environment=_client_environment(source_url) | {"HOME": str(folder)},
        log=folder / "basebackup.log",
    )
    assert copying.wait(timeout=_DEADLINE_SECONDS) == 0, (folder / "basebackup.log").read_text()
    watchdog.forget(copying)

    def is_ready(_pid: int) -> bool:
        status = data / "postmaster.pid"
        lines = status.read_text().splitlines() if status.exists() else []
        return len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"

    ServerProcess(name, watchdog=watchdog, folder=folder).start(
        [programs / "postgres", "-D", data, "-p", str(port)],
        environment={"HOME": str(folder)},
        ask=signal.SIGQUIT,
        is_ready=is_ready,
        deadline_seconds=_DEADLINE_SECONDS,
    )


def _client_environment(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    return {
        "PGHOST": LOOPBACK,
        "PGPORT": str(parts.port),
        "PGUSER": parts.username or "",
        "PGPASSWORD": parts.password or "",
    }
