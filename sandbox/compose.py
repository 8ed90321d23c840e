"""Servers from compose.yaml, for machines that can run containers and nothing else."""

import secrets
import subprocess
from collections.abc import Sequence

from sandbox.binaries import PROJECT
from sandbox.errors import SandboxError
from sandbox.watchdog import Watchdog

_UP_DEADLINE_SECONDS = 600.0  # the first time, the images are pulled
_ASK_DEADLINE_SECONDS = 30.0


class ComposeProject:
    """The containers of one run, under a project name that no other run has."""

    def __init__(self, watchdog: Watchdog) -> None:
        self._compose = [
            "docker",
            "compose",
            "--file",
            str(PROJECT / "compose.yaml"),
            "--project-name",
            f"outbox-sandbox-{secrets.token_hex(4)}",
        ]
        watchdog.run_at_end([*self._compose, "down", "--volumes", "--timeout", "1"])

    def start_postgres(self) -> str:
        """Start PostgreSQL and return its URL."""
        self._up("postgres")
        return f"postgresql://postgres:postgres@{self._address('postgres', 5432)}/postgres"

    def start_rabbitmq(self) -> tuple[str, str]:
        """Start RabbitMQ and return the URLs of AMQP and of the management plugin."""
        self._up("rabbitmq")
        return (
            f"amqp://guest:guest@{self._address('rabbitmq', 5672)}/",
            f"http://guest:guest@{self._address('rabbitmq', 15672)}",
        )

    def _up(self, service: str) -> None:
        self._run(["up", "--detach", "--wait", service], deadline_seconds=_UP_DEADLINE_SECONDS)

    def _address(self, service: str, port: int) -> str:
        return self._run(["port", service, str(port)], deadline_seconds=_ASK_DEADLINE_SECONDS).strip()

    def _run(self, arguments: Sequence[str], *, deadline_seconds: float) -> str:
        answer = subprocess.run(
            [*self._compose, *arguments],
            capture_output=True,
            text=True,
            timeout=deadline_seconds,
            check=False,
        )
        if answer.returncode != 0:
            raise SandboxError(
                f"docker compose {' '.join(arguments)} failed:\n{answer.stderr}",
                next_step="read its message, or install the servers",
            )
        return answer.stdout
