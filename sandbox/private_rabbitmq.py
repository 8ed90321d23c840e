"""A RabbitMQ node of our own, with an epmd of our own. Never touches the system's node, folders or ports."""

import secrets
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sandbox.binaries import rabbitmq_root
from sandbox.errors import SandboxError
from sandbox.ports import LOOPBACK, free_ports
from sandbox.privileges import give, write_private
from sandbox.server_process import PORT_ATTEMPTS, PortTakenError, ServerProcess
from sandbox.system import System
from sandbox.watchdog import Watchdog

_START_DEADLINE_SECONDS = 90.0
_STOP_PATIENCE_SECONDS = 30.0
_EPMD_DEADLINE_SECONDS = 10.0
_CTL_DEADLINE_SECONDS = 60.0
_PROBE_SECONDS = 2.0

_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME = b"\x01"

_CONFIGURATION = """
listeners.tcp.1 = {loopback}:{ports.amqp}
management.tcp.ip = {loopback}
management.tcp.port = {ports.management}
disk_free_limit.absolute = 50MB
log.file.level = info
log.console = false
"""

# Loopback only, no busy waiting, and schedulers that are not bound to cores: the machine is shared with the
# programs under test.
_ERLANG_ARGUMENTS = "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"

# Metadata in Khepri (from 4.0 on, if enabled) is on disk when it is confirmed; only Mnesia writes behind.
_SYNC = """
case erlang:function_exported(rabbit_khepri, is_enabled, 0) andalso rabbit_khepri:is_enabled() of
    true -> ok;
    false -> mnesia:sync_log()
end.
"""


class Ports(NamedTuple):
    """The ports of one node."""

    amqp: int
    management: int
    distribution: int
    epmd: int


class PrivateRabbitMQ:
    """One node; it keeps ports and data over stop, kill and start."""

    def __init__(
        self, scripts: Path, *, watchdog: Watchdog, settings: str = "", more_plugins: Sequence[str] = ()
    ) -> None:
        """Prepare a node; ``settings`` are more lines for its rabbitmq.conf."""
        self._scripts = scripts
        # Whoever found the scripts was led there by the same variable.
        self._system = System(rabbitmq_root())
        self._settings = settings
        self._plugins = ("rabbitmq_management", *more_plugins)
        self._shared_folder = watchdog.folder
        self._folder = watchdog.folder / "rabbitmq"
        self._epmd_folder = watchdog.folder / "epmd"
        self._node = f"sandbox-{secrets.token_hex(4)}@localhost"
        self._ports: Ports | None = None
        self._server = ServerProcess(
            "RabbitMQ", watchdog=watchdog, folder=self._folder, logs=[self._folder / "rabbitmq.log"]
        )
        self._epmd = ServerProcess("epmd", watchdog=watchdog, folder=self._epmd_folder)

    @property
    def ports(self) -> Ports:
        """The ports, from the first start on."""
        if self._ports is None:
            raise RuntimeError("RabbitMQ was never started")
        return self._ports

    @property
    def url(self) -> str:
        """The AMQP URL of the administrator."""
        return f"amqp://guest:guest@{LOOPBACK}:{self.ports.amqp}/"

    @property
    def management_url(self) -> str:
        """The URL of the management plugin, with the administrator's credentials."""
        return f"http://guest:guest@{LOOPBACK}:{self.ports.management}"

    @property
    def pid(self) -> int | None:
        """The node's pid while it runs."""
        return self._server.pid

    def start(self) -> None:
        """Start and return when AMQP is answered; the first start finds the ports."""
        if self._ports is not None:
            self._start()
            return
        self._make_folders()
        for attempt in range(1, PORT_ATTEMPTS + 1):
            self._ports = Ports(*free_ports(len(Ports._fields)))
            try:
                self._start()
            except PortTakenError:
                self._epmd.kill()
                if attempt == PORT_ATTEMPTS:
                    raise
            else:
                return

    def stop(self) -> None:
        """Stop the node in order."""
        self._server.stop(signal.SIGTERM, patience_seconds=_STOP_PATIENCE_SECONDS)

    def restart(self) -> None:
        """Stop in order and start again."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """Kill every process of the node; the next start recovers from its files."""
        self._server.kill()

    def flush(self) -> None:
        """Have everything that was declared on disk: the broker writes it a little later than it confirms it.

        Call it before a kill that is not meant to lose queues and bindings declared a moment ago.
        """
        self.ctl("eval", _SYNC)

    def log_tail(self) -> str:
        """Return the end of the logs."""
        return self._server.log_tail()

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl against this node and return what it prints."""
        account = self._system.account
        answer = subprocess.run(
            self._command(self._scripts / "rabbitmqctl", "--node", self._node, "--quiet", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            env=self._environment(),
            text=True,
            timeout=_CTL_DEADLINE_SECONDS,
            check=False,
            user=account.user,
            group=account.group,
            extra_groups=account.extra_groups,
        )
        if answer.returncode != 0:
            raise SandboxError(
                f"rabbitmqctl {' '.join(arguments)} failed:\n{answer.stdout}", next_step="read its message"
            )
        return answer.stdout

    def _start(self) -> None:
        if self._epmd.pid is None:
            self._start_epmd()
        self._server.start(
            self._command(self._scripts / "rabbitmq-server", "-noinput"),
            account=self._system.account,
            environment=self._environment(),
            ask=signal.SIGKILL,
            is_ready=lambda _pid: _answers_amqp(self.ports.amqp),
            deadline_seconds=_START_DEADLINE_SECONDS,
        )

    def _start_epmd(self) -> None:
        # In the foreground, as a child that can be ended; one that the node starts would be a daemon.
        self._epmd.start(
            self._command(self._epmd_program(), "-address", LOOPBACK, "-port", str(self.ports.epmd)),
            account=self._system.account,
            environment={},
            ask=signal.SIGKILL,
            is_ready=lambda _pid: _accepts(self.ports.epmd),
            deadline_seconds=_EPMD_DEADLINE_SECONDS,
        )

    def _command(self, *command: str | Path) -> list[str | Path]:
        return self._system.command(command, working_folder=self._shared_folder)

    def _epmd_program(self) -> Path:
        epmd = self._system.find("epmd")
        if epmd is None:
            raise SandboxError("epmd, a part of Erlang, is not in PATH", next_step="install the package erlang-base")
        return epmd

    def _make_folders(self) -> None:
        for folder in (self._folder, self._epmd_folder):
            folder.mkdir(mode=0o700)
            give(folder)
        write_private(self._folder / "enabled_plugins", f"[{','.join(self._plugins)}].\n")
        write_private(self._folder / ".erlang.cookie", secrets.token_hex(16)).chmod(0o400)

    def _environment(self) -> dict[str, str]:
        folder, ports = self._folder, self.ports
        configuration = _CONFIGURATION.format(loopback=LOOPBACK, ports=ports) + self._settings
        write_private(folder / "rabbitmq.conf", configuration)
        return {
            "PATH": f"{self._system.inside(self._epmd_program()).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(ports.epmd),
            "ERL_CRASH_DUMP_SECONDS": "0",
            # The script becomes the node, instead of a shell that waits for it.
            "RABBITMQ_ALLOW_INPUT": "true",
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_DIST_PORT": str(ports.distribution),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(folder / "none"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "none.config"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "config"),
            "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_LOGS": str(folder / "rabbitmq.log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SCHEDULER_BIND_TYPE": "u",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG_ARGUMENTS,
            "RABBITMQ_CTL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            # Any free port; the default is a fixed range that all nodes of a machine share.
            "RABBITMQ_CTL_DIST_PORT_MIN": "0",
            "RABBITMQ_CTL_DIST_PORT_MAX": "0",
        }


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=_PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def _answers_amqp(port: int) -> bool:
    """Say whether the broker answers the protocol header; an open port alone proves nothing."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=_PROBE_SECONDS) as connection:
            connection.sendall(_PROTOCOL_HEADER)
            return connection.recv(1) == _METHOD_FRAME
    except OSError:
        return False
