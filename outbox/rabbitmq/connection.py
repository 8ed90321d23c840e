"""Opening connections: plain ones, bounded, to the first host that answers; the supervisor owns reconnecting."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, ConnectionParameter
from aio_pika.exceptions import AMQPError
from yarl import URL

from outbox.model.amqp_url import DEFAULT_PORTS, AmqpUrl
from outbox.model.errors import Misconfigured, OutboxError, Unavailable
from outbox.model.network import was_cut_off
from outbox.rabbitmq.desired import Mode
from outbox.rabbitmq.errors import Opening, opening_errors, rabbitmq_errors
from outbox.rabbitmq.tls import Tls
from outbox.rabbitmq.tolerance import tolerate_foreign_messages
from outbox.rabbitmq.transport import KeptAliveConnection
from outbox.rabbitmq.version import BrokerVersion, supported

# Closing waits for the broker's answer, which may never come.
_CLOSE_SECONDS = 2.0
_EXTERNAL = "external"
_ALERT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RabbitServer:
    """Where the broker is, how long to wait for it, and who puts queues there.

    ``url`` holds a password: it is never logged. ``connect_timeout_seconds`` is for each host of it.
    """

    url: str
    heartbeat_seconds: int = 10
    connect_timeout_seconds: float = 10.0
    confirm_timeout_seconds: float = 30.0
    tls: Tls | None = None
    topology: Mode = Mode.ARGUMENTS

    def __str__(self) -> str:
        return describe(self.url)


def describe(url: str) -> str:
    """Return how people call the broker of this URL, without its password."""
    try:
        parsed = AmqpUrl.parse(url)
    except ValueError:
        return "RabbitMQ"
    return _described(parsed, parsed.hosts)


@asynccontextmanager
async def connect(server: RabbitServer, *, name: str) -> AsyncIterator[KeptAliveConnection]:
    """Open one connection, to the first host that lets us in; where the list begins is drawn for each connection.

    Args:
        server: the broker.
        name: what the broker's own tools show for this connection.

    Raises:
        Unavailable: no host can be reached; with the reason of each.
        AccessRefused: user, password or virtual host were refused.
        Misconfigured: not an AMQP URL, or TLS cannot work.
    """
    try:
        url = AmqpUrl.parse(server.url)
    except ValueError as error:
        raise Misconfigured("rabbitmq.url is not an AMQP URL", "write it as amqp://user:password@host:5672/") from error
    tolerate_foreign_messages()
    connection = await _open(server, url, name)
    try:
        with rabbitmq_errors(str(server)):
            yield connection
    finally:
        with suppress(AMQPError, OSError, RuntimeError, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await connection.close()


async def open_channel(connection: AbstractConnection, server: str, **options: bool) -> AbstractChannel:
    """Open a channel. ``options`` are those of `AbstractConnection.channel`; the caller bounds the wait.

    Raises:
        Unavailable: the connection has broken since it was opened, or breaks now.
    """
    with rabbitmq_errors(server):
        try:
            return await connection.channel(**options)
        except RuntimeError as error:
            transport = connection.transport
            if transport is not None and not transport.connection.is_closed:
                raise
            # The library has no better word for a connection that broke while nobody used it.
            raise Unavailable(server, "the connection broke") from error


def broker_version(connection: AbstractConnection, server: str) -> BrokerVersion:
    """Return the version that the broker named when the connection was opened.

    Raises:
        Misconfigured: it is older than what works.
        Unavailable: the connection is gone.
    """
    return supported(_property(connection, server, "version"))


def cluster_name(connection: AbstractConnection, server: str) -> str:
    """Return what the broker calls its cluster; the same on every node, and in the management API."""
    return _property(connection, server, "cluster_name")


def _property(connection: AbstractConnection, server: str, name: str) -> str:
    transport = connection.transport
    if transport is None:
        raise Unavailable(server, "the connection broke")
    value = (transport.connection.server_properties or {}).get(name, "")
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


class _Connection(KeptAliveConnection):
    """Hands on to asyncio which name the broker's certificate must have; the library knows no word for it."""

    PARAMETERS = (
        *aio_pika.Connection.PARAMETERS,
        ConnectionParameter(name="server_hostname", parser=str, is_kwarg=True),
    )


async def _open(server: RabbitServer, url: AmqpUrl, name: str) -> KeptAliveConnection:
    start = secrets.randbelow(len(url.hosts))
    failures: list[OutboxError] = []
    for host in (*url.hosts[start:], *url.hosts[:start]):
        try:
            return await _open_host(server, url, host, name)
        except (Misconfigured, Unavailable) as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    told = "; ".join(sorted(_told(error) for error in failures))
    refused = [error for error in failures if isinstance(error, Misconfigured)]
    if len(refused) == len(failures):
        # The same credentials and files for all: the first next step is the next step for each.
        raise type(refused[0])(told, refused[0].next_step) from refused[0]
    raise Unavailable(str(server), told) from failures[0]


async def _open_host(server: RabbitServer, url: AmqpUrl, host: str, name: str) -> KeptAliveConnection:
    tls = server.tls or Tls()
    is_by_certificate = _is_by_certificate(url, tls)
    query = {"heartbeat": str(server.heartbeat_seconds), "name": name}
    target = URL(url.single(host)).update_query(query | ({"auth": _EXTERNAL} if is_by_certificate else {}))
    opening = Opening(_described(url, (host,)), tls, is_by_certificate=is_by_certificate)
    with opening_errors(opening):
        async with asyncio.timeout(server.connect_timeout_seconds):
            context = await asyncio.to_thread(tls.context) if url.is_encrypted else None
            connection = _Connection(
                target,
                ssl_context=context,
                client_properties={"connection_name": name},
                server_hostname=tls.server_name if url.is_encrypted else None,
            )
            try:
                await connection.connect(timeout=server.connect_timeout_seconds)
            except BaseException as error:
                # It has no transport, so this ends at once; unclosed, its finaliser would start a task of its own.
                await connection.close()
                if context is not None and was_cut_off(error):
                    await _hear_alert(target, context, tls.server_name)
                raise
            return connection


async def _hear_alert(target: URL, context: ssl.SSLContext, server_name: str | None) -> None:
    """Raise what the broker has against our certificate, if it says so to a connection that sends nothing.

    With TLS 1.3 it is told after we have begun to speak, and the reset that follows often overtakes the alert.

    Raises:
        SSLError: with the alert.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(_ALERT_SECONDS):
            reader, writer = await asyncio.open_connection(
                target.host, target.port or DEFAULT_PORTS[target.scheme], ssl=context, server_hostname=server_name
            )
            try:
                await reader.read(1)
            finally:
                writer.close()


def _is_by_certificate(url: AmqpUrl, tls: Tls) -> bool:
    """Say whether our certificate is who we are: asked for in the URL, or there is one and no password."""
    if url.login is not None:
        return url.login == _EXTERNAL
    return tls.cert_file is not None and url.password is None


def _described(url: AmqpUrl, hosts: tuple[str, ...]) -> str:
    return f"RabbitMQ at {','.join(url.shown(host) for host in hosts)}{url.path or '/'}"


def _told(error: OutboxError) -> str:
    return error.problem if isinstance(error, Misconfigured) else str(error)
