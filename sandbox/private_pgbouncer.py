"""A pgbouncer of our own before a PostgreSQL server, in transaction mode: a session serves another client each time."""

import os
import shutil
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from sandbox.ports import LOOPBACK, free_ports
from sandbox.privileges import give, write_private
from sandbox.server_process import PORT_ATTEMPTS, PortTakenError, ServerProcess
from sandbox.watchdog import Watchdog

PGBOUNCER_PACKAGE = "pgbouncer"
_START_DEADLINE_SECONDS = 30.0
_CONNECT_SECONDS = 1.0
# Debian keeps it where only root's PATH leads.
_PLACES = ("/usr/sbin", "/usr/local/sbin")

_SETTINGS = """
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = {loopback}
listen_port = {own_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
# Fewer sessions than clients, so that they are shared all the time.
default_pool_size = 2
max_client_conn = 200
log_connections = 0
log_disconnections = 0
"""


def find_pgbouncer() -> Path | None:
    """Find the program."""
    found = shutil.which(PGBOUNCER_PACKAGE, path=os.pathsep.join((os.environ.get("PATH", ""), *_PLACES)))
    return None if found is None else Path(found)


class PrivatePgbouncer:
    """One pooler for one user of one server."""

    def __init__(self, program: Path, *, server_url: str, watchdog: Watchdog) -> None:
        self._program = program
        self._server = urlsplit(server_url)
        self._folder = watchdog.folder / "pgbouncer"
        self._port: int | None = None
        self._process = ServerProcess("pgbouncer", watchdog=watchdog, folder=self._folder)

    def url(self, server_url: str) -> str:
        """Return the way through the pooler to a database of its server."""
        if self._port is None:
            raise RuntimeError("pgbouncer was never started")
        parts = urlsplit(server_url)
        credentials, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{credentials}{at}{LOOPBACK}:{self._port}"))

    def start(self) -> None:
        """Start and return when connections are taken."""
        self._folder.mkdir(mode=0o700)
        give(self._folder)
        users = write_private(self._folder / "users.txt", f'"{self._server.username}" "{self._server.password}"\n')
        for attempt in range(1, PORT_ATTEMPTS + 1):
            (self._port,) = free_ports(1)
            settings = write_private(
                self._folder / "pgbouncer.ini",
                _SETTINGS.format(
                    host=self._server.hostname,
                    port=self._server.port,
                    loopback=LOOPBACK,
                    own_port=self._port,
                    users=users,
                ),
            )
            try:
                self._process.start(
                    [self._program, settings],
                    environment={"HOME": str(self._folder)},
                    ask=signal.SIGTERM,
                    is_ready=self._is_ready,
                    deadline_seconds=_START_DEADLINE_SECONDS,
                )
            except PortTakenError:
                if attempt == PORT_ATTEMPTS:
                    raise
            else:
                return

    def _is_ready(self, _pid: int) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self._port), timeout=_CONNECT_SECONDS):
                return True
        except OSError:
            return False
