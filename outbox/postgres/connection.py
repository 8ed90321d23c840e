"""Opening connections: bounded, kept alive, checked, and never closed politely when something is wrong."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg

from outbox.model.errors import Misconfigured
from outbox.postgres.errors import postgres_errors

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

MIN_MAJOR = 14
# A dead host is noticed after 30 s idle + 3 probes of 10 s, instead of the kernel's two hours.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}
# Closing sends a message and waits for the server, which may be gone.
_CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """Where the database is, and how long to wait for it. ``url`` holds a password: it is never logged."""

    url: str
    connect_timeout_seconds: float = 10.0
    statement_timeout_seconds: float = 30.0
    application_name: str = "outbox"

    def __str__(self) -> str:
        return describe(self.url)


def describe(url: str) -> str:
    """Return how people call the server of this URL, without its password."""
    try:
        parts = urlsplit(url)
        host = re.sub(r"^.*@", "", parts.netloc) or "the local socket"
    except ValueError:
        return "PostgreSQL"
    return f"PostgreSQL at {host}{parts.path}"


@asynccontextmanager
async def connect(server: PostgresServer) -> AsyncIterator[Connection]:
    """Open one connection to a primary; every await on it is bounded.

    Raises:
        Unavailable: it cannot be reached.
        AccessRefused: wrong user or password.
        Misconfigured: not a PostgreSQL URL, no such database, older than version 14.
    """
    connection = await _open(server)
    try:
        with postgres_errors(str(server)):
            yield connection
    except BaseException:
        # Whatever it was doing may still be under way: a polite close could wait for it for ever.
        connection.terminate()
        raise
    await _close(connection)


async def _open(server: PostgresServer) -> Connection:
    with postgres_errors(str(server)):
        try:
            async with asyncio.timeout(server.connect_timeout_seconds):
                connection: Connection = await asyncpg.connect(
                    server.url,
                    timeout=server.connect_timeout_seconds,
                    command_timeout=server.statement_timeout_seconds,
                    server_settings={"application_name": server.application_name, "timezone": "UTC"},
                )
        except (ValueError, asyncpg.ClientConfigurationError) as error:
            raise Misconfigured(
                "postgres.url is not a PostgreSQL URL",
                "write it as postgresql://user:password@host:5432/database; special characters in the password "
                "are percent-encoded",
            ) from error
    _keep_alive(connection)
    major = connection.get_server_version().major
    if major < MIN_MAJOR:
        connection.terminate()
        raise Misconfigured(f"{server} is version {major}, the oldest that works is {MIN_MAJOR}", "upgrade PostgreSQL")
    return connection


def _keep_alive(connection: Connection) -> None:
    transport: asyncio.Transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001 - asyncpg has no other way to its socket
    raw = transport.get_extra_info("socket")
    if raw is None or raw.family not in (socket.AF_INET, socket.AF_INET6):
        return
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):  # the options are Linux's; others keep their defaults
            raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def _close(connection: Connection) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await connection.close()
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
