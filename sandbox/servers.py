"""The servers of one run: those the environment names, private ones for the rest; they end with the run.

`python -m sandbox.servers -- COMMAND…` runs a command against them; without a command it shows where they are
and waits for Ctrl-C.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import assert_never

from sandbox.binaries import find_postgres, find_rabbitmq, has_compose
from sandbox.compose import ComposeProject
from sandbox.errors import SandboxError
from sandbox.private_postgres import PrivatePostgres
from sandbox.private_rabbitmq import PrivateRabbitMQ
from sandbox.sources import Absent, Given, Local, choose
from sandbox.watchdog import Watchdog

PG_URL_VARIABLE = "OUTBOX_PG_URL"
AMQP_URL_VARIABLE = "OUTBOX_AMQP_URL"
MANAGEMENT_URL_VARIABLE = "SANDBOX_MANAGEMENT_URL"

_PREPARE = "run `python3 -m sandbox.prepare --need servers`"


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers of this run are; the private ones can be stopped and killed."""

    pg_url: str
    amqp_url: str
    management_url: str | None
    postgres: PrivatePostgres | None
    rabbitmq: PrivateRabbitMQ | None

    def environment(self) -> dict[str, str]:
        """Name them as the sidecar's configuration expects it."""
        variables = {PG_URL_VARIABLE: self.pg_url, AMQP_URL_VARIABLE: self.amqp_url}
        if self.management_url is not None:
            variables[MANAGEMENT_URL_VARIABLE] = self.management_url
        return variables


@contextmanager
def private_servers(*, is_durable: bool = True) -> Iterator[Servers]:
    """Start what is not given, both at once, and end it in the end; asyncio callers enter it in a thread.

    Without durability PostgreSQL is faster, and still loses nothing when it is killed: only the machine's own
    crash would cost data.
    """
    with Watchdog() as watchdog:
        with ThreadPoolExecutor(max_workers=2) as threads:
            postgres = threads.submit(_start_postgres, watchdog, is_durable=is_durable)
            rabbitmq = threads.submit(_start_rabbitmq, watchdog)
            try:
                servers = _joined(postgres, rabbitmq)
            except BaseException:
                # The servers end first, so that no thread waits on for one of them to become ready.
                watchdog.close()
                raise
        yield servers


def _joined(
    postgres: Future[tuple[str, PrivatePostgres | None]],
    rabbitmq: Future[tuple[str, str | None, PrivateRabbitMQ | None]],
) -> Servers:
    pg_url, private_postgres = postgres.result()
    amqp_url, management_url, private_rabbitmq = rabbitmq.result()
    return Servers(
        pg_url=pg_url,
        amqp_url=amqp_url,
        management_url=management_url,
        postgres=private_postgres,
        rabbitmq=private_rabbitmq,
    )


def _start_postgres(watchdog: Watchdog, *, is_durable: bool) -> tuple[str, PrivatePostgres | None]:
    source = choose(os.environ.get(PG_URL_VARIABLE), find_postgres())
    match source:
        case Given(url):
            return url, None
        case Local(programs):
            server = PrivatePostgres(programs, watchdog=watchdog, is_durable=is_durable)
            server.start()
            return server.url, server
        case Absent():
            _require_compose("PostgreSQL")
            return ComposeProject(watchdog).start_postgres(), None
        case _:
            assert_never(source)


def _start_rabbitmq(watchdog: Watchdog) -> tuple[str, str | None, PrivateRabbitMQ | None]:
    source = choose(os.environ.get(AMQP_URL_VARIABLE), find_rabbitmq())
    match source:
        case Given(url):
            return url, os.environ.get(MANAGEMENT_URL_VARIABLE), None
        case Local(programs):
            server = PrivateRabbitMQ(programs, watchdog=watchdog)
            server.start()
            return server.url, server.management_url, server
        case Absent():
            _require_compose("RabbitMQ")
            return *ComposeProject(watchdog).start_rabbitmq(), None
        case _:
            assert_never(source)


def _require_compose(server: str) -> None:
    if not has_compose():
        raise SandboxError(f"there is no {server} on this machine", next_step=_PREPARE)


def main(arguments: Sequence[str]) -> int:
    """Run a command against the servers, or show where they are until Ctrl-C."""
    command = list(arguments[1:] if arguments[:1] == ["--"] else arguments)
    signal.signal(signal.SIGTERM, _exit_on_signal)
    try:
        _require_command(command)
        with private_servers() as servers:
            if command:
                return _run(command, servers)
            for name, value in servers.environment().items():
                print(f"export {name}={value}", flush=True)
            print("# Ctrl-C ends both", flush=True)
            signal.pause()
    except SandboxError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _require_command(command: Sequence[str]) -> None:
    if command and shutil.which(command[0]) is None:
        raise SandboxError(f"there is no command {command[0]!r}", next_step="check its spelling")


def _run(command: Sequence[str], servers: Servers) -> int:
    with subprocess.Popen(command, env={**os.environ, **servers.environment()}) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            raise


def _exit_on_signal(number: int, _frame: object) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
