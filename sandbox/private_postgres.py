"""A PostgreSQL server of our own, in a folder of its own. Never touches another server or its data."""

import secrets
import signal
from pathlib import Path

from sandbox.binaries import postgres_major
from sandbox.errors import SandboxError
from sandbox.ports import LOOPBACK, free_ports
from sandbox.privileges import give, reachable_programs, write_private
from sandbox.server_process import PORT_ATTEMPTS, PortTakenError, ServerProcess
from sandbox.watchdog import Watchdog

_START_DEADLINE_SECONDS = 60.0
_STOP_PATIENCE_SECONDS = 20.0
_STATUS_LINE = 7  # of postmaster.pid, where the server writes "ready" when it takes connections

# Shared memory in files of the data folder: in /dev/shm a killed server would leave it behind.
_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
shared_buffers = 256MB
dynamic_shared_memory_type = mmap
wal_level = replica
max_prepared_transactions = 10
log_min_messages = warning
log_checkpoints = off
"""

_NOT_DURABLE_SETTINGS = """
fsync = off
full_page_writes = off
"""


class PrivatePostgres:
    """One server; it keeps port, password and data over stop, kill and start."""

    def __init__(self, programs: Path, *, watchdog: Watchdog, is_durable: bool = True) -> None:
        self._programs = programs
        self._watchdog = watchdog
        self._is_durable = is_durable
        self._password = secrets.token_urlsafe(18)
        self._folder = watchdog.folder / "postgres"
        self._data = self._folder / "data"
        self._port: int | None = None
        self._server = ServerProcess("PostgreSQL", watchdog=watchdog, folder=self._folder)

    @property
    def port(self) -> int:
        """The port, from the first start on."""
        if self._port is None:
            raise RuntimeError("PostgreSQL was never started")
        return self._port

    @property
    def url(self) -> str:
        """The superuser's URL."""
        return f"postgresql://postgres:{self._password}@{LOOPBACK}:{self.port}/postgres"

    @property
    def major(self) -> int:
        """The major version."""
        return postgres_major(self._programs)

    @property
    def pid(self) -> int | None:
        """The postmaster's pid while it runs."""
        return self._server.pid

    def start(self) -> None:
        """Start and return when connections are taken; the first start makes the data and finds a port."""
        if self._port is not None:
            self._start()
            return
        self._initialise()
        for attempt in range(1, PORT_ATTEMPTS + 1):
            (self._port,) = free_ports(1)
            try:
                self._start()
            except PortTakenError:
                if attempt == PORT_ATTEMPTS:
                    raise
            else:
                return

    def stop(self) -> None:
        """Stop in order, with open connections closed (a fast shutdown)."""
        self._server.stop(signal.SIGINT, patience_seconds=_STOP_PATIENCE_SECONDS)

    def restart(self) -> None:
        """Stop in order and start again."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """Kill every process of the server; the next start recovers from the log."""
        self._server.kill()

    def log_tail(self) -> str:
        """Return the end of the log."""
        return self._server.log_tail()

    def _start(self) -> None:
        self._server.start(
            [self._programs / "postgres", "-D", self._data, "-p", str(self.port)],
            environment={"HOME": str(self._folder)},
            # An immediate shutdown: it gives back the shared memory, and nobody needs the data.
            ask=signal.SIGQUIT,
            is_ready=self._is_ready,
            deadline_seconds=_START_DEADLINE_SECONDS,
        )

    def _is_ready(self, pid: int) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > _STATUS_LINE and int(lines[0]) == pid and lines[_STATUS_LINE].strip() == "ready"

    def _initialise(self) -> None:
        self._programs = reachable_programs(self._programs, copy=self._watchdog.folder / "programs")
        self._folder.mkdir(mode=0o700)
        give(self._folder)
        password_file = write_private(self._folder / "password", self._password)
        log = self._folder / "initdb.log"
        initdb = self._watchdog.start(
            [
                self._programs / "initdb",
                "--pgdata",
                self._data,
                "--username=postgres",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--no-instructions",
            ],
            folder=self._folder,
            environment={"HOME": str(self._folder)},
            log=log,
        )
        if initdb.wait(timeout=_START_DEADLINE_SECONDS) != 0:
            raise SandboxError(
                f"initdb failed:\n{log.read_text()}",
                next_step="run it by hand, or set OUTBOX_PG_URL to a server that you have",
            )
        self._watchdog.forget(initdb)
        password_file.unlink()
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write(_SETTINGS + ("" if self._is_durable else _NOT_DURABLE_SETTINGS))
