"""Opening connections: to the primary, bounded, kept alive, and never closed politely when something is wrong.

A connection pooler that shares sessions (pgbouncer in transaction mode) is found out: it works for everything that is
one statement or one transaction, and is refused where a session of its own is needed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from outbox.model.errors import Misconfigured, OutboxError
from outbox.model.tcp import PROMPT
from outbox.postgres.errors import postgres_errors
from outbox.postgres.hosts import Host, NotPrimary, describe, hosts_of, none_of

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

MIN_MAJOR = 14
# Closing sends a message and waits for the server, which may be gone.
_CLOSE_SECONDS = 2.0
_CACHED_STATEMENTS = 100
_STANDING = """
select case when pg_is_in_recovery() then 'on' else 'off' end, current_setting('default_transaction_read_only')
"""
_DIRECT = "set postgres.direct_url (OUTBOX_PG_DIRECT_URL) to the server itself, past the pooler"


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """Where the database is, and how long to wait for it. ``url`` holds a password: it is never logged.

    ``setting`` is what people call the URL in the settings.
    """

    url: str
    connect_timeout_seconds: float = 10.0
    statement_timeout_seconds: float = 30.0
    application_name: str = "outbox"
    setting: str = "postgres.url"

    def __str__(self) -> str:
        return describe(self.url)


@asynccontextmanager
async def connect(server: PostgresServer, *, needs_session: bool = False) -> AsyncIterator[Connection]:
    """Open one connection to the primary; every await on it is bounded.

    Args:
        server: with several hosts, the first that is a primary is taken.
        needs_session: locks or settings must live on between transactions.

    Raises:
        Unavailable: it cannot be reached.
        AccessRefused: wrong user or password.
        Misconfigured: not a PostgreSQL URL, no such database, older than version 14, a standby, or a pooler where a
            session is needed.
    """
    connection = await _open(server, needs_session=needs_session)
    try:
        with postgres_errors(str(server)):
            yield connection
    except BaseException:
        # Whatever it was doing may still be under way: a polite close could wait for it for ever.
        connection.terminate()
        raise
    await _close(connection)


async def _open(server: PostgresServer, *, needs_session: bool) -> Connection:
    try:
        hosts = hosts_of(server.url)
    except ValueError as error:
        raise _not_a_url(server) from error
    failures: list[OutboxError] = []
    for host in hosts:
        try:
            # Shares of the whole: a host that swallows everything leaves the others their time.
            with postgres_errors(host.name, setting=server.setting):
                async with asyncio.timeout(server.connect_timeout_seconds / len(hosts)):
                    return await _open_host(server, host, needs_session=needs_session)
        except OutboxError as error:
            failures.append(error)
    raise none_of(str(server), failures)


async def _open_host(server: PostgresServer, host: Host, *, needs_session: bool) -> Connection:
    is_pooled = False
    try:
        connection = await _log_in(server, host, is_pooled=False)
    except asyncpg.ProtocolViolationError:
        # How pgbouncer answers to settings that it cannot keep for us.
        is_pooled = True
        connection = await _log_in(server, host, is_pooled=True)
    try:
        if connection.get_server_version().major < MIN_MAJOR:
            raise Misconfigured(
                f"{host.name} is version {connection.get_server_version().major}, the oldest that works is {MIN_MAJOR}",
                "upgrade PostgreSQL",
            )
        if not is_pooled and await _is_pooler(connection):
            is_pooled = True
            connection.terminate()
            connection = await _log_in(server, host, is_pooled=True)
        if is_pooled and needs_session:
            raise Misconfigured(
                f"{host.name} is a connection pooler, and leading a stream takes a session that is not shared",
                _DIRECT,
            )
        await _check_primary(connection, server, host, is_pooled=is_pooled)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def _log_in(server: PostgresServer, host: Host, *, is_pooled: bool) -> Connection:
    settings = {"application_name": server.application_name, "timezone": "UTC"}
    try:
        connection: Connection = await asyncpg.connect(
            host.url,
            # Bounded by the caller. Ours is the rule which hosts will do.
            timeout=server.connect_timeout_seconds,
            target_session_attrs=SessionAttribute.any,
            command_timeout=server.statement_timeout_seconds,
            # A pooler gives the next statement to another session, which knows neither our settings nor our
            # prepared statements.
            server_settings=settings if is_pooled else {**settings, **PROMPT.postgres_settings()},
            statement_cache_size=0 if is_pooled else _CACHED_STATEMENTS,
        )
    except OSError:
        # A refused certificate is one, and a ValueError as well.
        raise
    except (ValueError, asyncpg.ClientConfigurationError) as error:
        raise _not_a_url(server) from error
    _keep_alive(connection)
    return connection


def _not_a_url(server: PostgresServer) -> Misconfigured:
    return Misconfigured(
        f"{server.setting} is not a PostgreSQL URL",
        "write it as postgresql://user:password@host:5432/database; special characters in the password "
        "are percent-encoded",
    )


async def _is_pooler(connection: Connection) -> bool:
    """Say whether somebody answers in the server's stead: the key to cancel a statement is then not the server's."""
    # Unnamed, because what a pooler's sessions keep is found by strangers.
    asked = await connection.prepare("select pg_backend_pid()", name="")
    return bool(await asked.fetchval() != connection.get_server_pid())


async def _check_primary(connection: Connection, server: PostgresServer, host: Host, *, is_pooled: bool) -> None:
    # Told by the server when we log in; a pooler repeats what it was told once.
    told = connection.get_settings()
    is_standby = getattr(told, "in_hot_standby", None)
    is_read_only = getattr(told, "default_transaction_read_only", None)
    if is_pooled or is_standby is None or is_read_only is None:
        is_standby, is_read_only = await connection.fetchrow(_STANDING) or (None, None)
    next_step = f"point {server.setting} at the primary"
    if is_standby == "on":
        raise NotPrimary(f"{host.name} is a standby", next_step)
    if is_read_only == "on":
        raise NotPrimary(f"{host.name} is read-only (default_transaction_read_only is on)", next_step)


def _keep_alive(connection: Connection) -> None:
    transport: asyncio.Transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001 - asyncpg has no other way to its socket
    raw = transport.get_extra_info("socket")
    if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
        for option in PROMPT.options():
            raw.setsockopt(*option)


async def _close(connection: Connection) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await connection.close()
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
