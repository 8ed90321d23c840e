"""A PostgreSQL cluster of one test module's own: a primary and a hot standby that streams from it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from outbox.postgres.connection import PostgresServer
from outbox.postgres.migrate import migrate
from sandbox.binaries import find_postgres
from sandbox.private_postgres import PrivatePostgres
from sandbox.watchdog import Watchdog
from tests.kit.copies import base_backup
from tests.kit.urls import port_of, with_hosts
from tests.kit.waiting import until

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
        standby = base_backup(self._programs, self.standby_url, self._watchdog, name="rejoined", follows=True)
        standby.start(port_of(self.primary_url))


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
        standby_url = base_backup(programs, primary.url, watchdog, name="standby", follows=True).start()
        yield Cluster(primary.url, standby_url, programs, primary, watchdog)
