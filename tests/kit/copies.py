"""Copies of a PostgreSQL server: base backups that start as standbys or recover, and dumps."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from sandbox.binaries import find_postgres
from sandbox.ports import LOOPBACK, free_ports
from sandbox.private_postgres import PrivatePostgres
from sandbox.privileges import give, reachable_programs
from sandbox.server_process import ServerProcess
from sandbox.watchdog import Watchdog
from tests.kit.urls import with_database, with_port
from tests.kit.waiting import until

_DEADLINE_SECONDS = 60.0
_STATUS_LINE = 7  # of postmaster.pid
# Recovery to a point in time, the earliest there is: the end of the backup.
_RECOVERY = "restore_command = 'false'\nrecovery_target = 'immediate'\nrecovery_target_action = 'promote'\n"


class BaseBackup:
    """A copy of the primary's files, which can be started as a server of its own."""

    def __init__(self, name: str, folder: Path, programs: Path, primary_url: str, watchdog: Watchdog) -> None:
        self.data = folder / "data"
        self._folder = folder
        self._programs = programs
        self._primary_url = primary_url
        self._server = ServerProcess(name, watchdog=watchdog, folder=folder)

    def recover(self) -> str:
        """Start it as a primary that has recovered to the end of the backup, on a new timeline; return its URL."""
        (self.data / "recovery.signal").touch()
        with (self.data / "postgresql.auto.conf").open("a") as settings:
            settings.write(_RECOVERY)
        give(self._folder)
        return self.start()

    def start(self, port: int | None = None) -> str:
        """Start it as it is, and return the superuser's URL."""
        port = port or free_ports(1)[0]

        def is_ready(_pid: int) -> bool:
            status = self.data / "postmaster.pid"
            lines = status.read_text().splitlines() if status.exists() else []
            return len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"

        self._server.start(
            [self._programs / "postgres", "-D", self.data, "-p", str(port)],
            environment={"HOME": str(self._folder)},
            ask=signal.SIGQUIT,
            is_ready=is_ready,
            deadline_seconds=_DEADLINE_SECONDS,
        )
        return with_port(self._primary_url, port)


class PrivateCluster:
    """A primary that can be copied. Ends with its watchdog."""

    def __init__(self, programs: Path, watchdog: Watchdog) -> None:
        self._programs = programs
        self._watchdog = watchdog
        self.primary = PrivatePostgres(programs, watchdog=watchdog, is_durable=False)
        self.primary.start()

    def base_backup(self, name: str, *, follows: bool) -> BaseBackup:
        """Copy the primary; ``follows``: once started, the copy is a hot standby that streams from it."""
        return base_backup(self._programs, self.primary.url, self._watchdog, name=name, follows=follows)


def base_backup(programs: Path, source_url: str, watchdog: Watchdog, *, name: str, follows: bool) -> BaseBackup:
    """Copy a running server's files."""
    programs = reachable_programs(programs, copy=watchdog.folder / f"{name}-programs")
    folder = watchdog.folder / name
    folder.mkdir(mode=0o700)
    give(folder)
    backup = BaseBackup(name, folder, programs, source_url, watchdog)
    copying = watchdog.start(
        [
            programs / "pg_basebackup",
            "--pgdata",
            backup.data,
            "--checkpoint=fast",
            "--no-sync",
            *(["--write-recovery-conf"] if follows else []),
        ],
        folder=folder,
        environment=_client_environment(source_url) | {"HOME": str(folder)},
        log=folder / "basebackup.log",
    )
    assert copying.wait(timeout=_DEADLINE_SECONDS) == 0, (folder / "basebackup.log").read_text()
    watchdog.forget(copying)
    return backup


@contextmanager
def private_cluster() -> Iterator[PrivateCluster]:
    """Start a primary; it and every copy of it end with the block."""
    programs = _programs()
    with Watchdog() as watchdog:
        yield PrivateCluster(programs, watchdog)


async def caught_up(primary_url: str, standby_url: str) -> None:
    """Wait until a standby has replayed all that is committed on its primary now."""
    connection = await asyncpg.connect(primary_url)
    try:
        there = await connection.fetchval("select pg_current_wal_flush_lsn()::text")
    finally:
        await connection.close()
    standby = await asyncpg.connect(standby_url)

    async def is_there() -> bool:
        return bool(await standby.fetchval("select pg_last_wal_replay_lsn() >= $1::text::pg_lsn", there))

    try:
        await until(is_there, what="the standby has replayed everything")
    finally:
        await standby.close()


async def cut_off(standby_url: str) -> None:
    """Have a standby receive nothing any more."""
    standby = await asyncpg.connect(standby_url)

    async def is_cut_off() -> bool:
        return not await standby.fetchval("select count(*) from pg_stat_wal_receiver")

    try:
        await standby.execute("alter system set primary_conninfo = ''")
        await standby.execute("select pg_reload_conf()")
        await until(is_cut_off, what="the standby receives nothing any more")
    finally:
        await standby.close()


async def promote(standby_url: str) -> None:
    """Make a standby the primary of a new timeline."""
    standby = await asyncpg.connect(standby_url)
    try:
        assert await standby.fetchval("select pg_promote(true, 60)")
    finally:
        await standby.close()


def dump_and_restore(source_url: str, target_url: str) -> None:
    """``pg_dump SOURCE | psql TARGET``."""
    programs = _programs()
    with subprocess.Popen([programs / "pg_dump", source_url], stdout=subprocess.PIPE) as dump:
        restore = subprocess.run(
            [programs / "psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--no-psqlrc", target_url],
            stdin=dump.stdout,
            capture_output=True,
            text=True,
            timeout=_DEADLINE_SECONDS,
            check=False,
        )
    assert (dump.returncode, restore.returncode) == (0, 0), restore.stderr


async def burn_transaction_ids(url: str, count: int) -> None:
    """Take the server's transaction ids this far."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            f"do $$ begin for n in 1..{count} loop perform pg_current_xact_id(); commit; end loop; end $$"
        )
    finally:
        await connection.close()


async def create_database(pg_url: str, name: str) -> str:
    """Make an empty database and return its URL; it goes with its cluster."""
    connection = await asyncpg.connect(pg_url)
    try:
        await connection.execute(f"create database {name} template template0")
    finally:
        await connection.close()
    return with_database(pg_url, name)


def _programs() -> Path:
    programs = find_postgres()
    if programs is None or not all((programs / name).is_file() for name in ("pg_basebackup", "pg_dump", "psql")):
        pytest.skip("needs the programs of PostgreSQL: pg_basebackup, pg_dump and psql too")
    return programs


def _client_environment(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    return {
        "PGHOST": LOOPBACK,
        "PGPORT": str(parts.port),
        "PGUSER": parts.username or "",
        "PGPASSWORD": parts.password or "",
    }
