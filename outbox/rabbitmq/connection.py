"""Opening connections: plain ones, bounded; the supervisor owns reconnecting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError
from yarl import URL

from outbox.model.errors import Misconfigured, Unavailable
from outbox.rabbitmq.errors import opening_errors, rabbitmq_errors
from outbox.rabbitmq.tolerance import tolerate_foreign_messages
from outbox.rabbitmq.transport import KeptAliveConnection

# Closing waits for the broker's answer, which may never come.
_CLOSE_SECONDS = 2.0
_DEFAULT_PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True)
class RabbitServer:
    """Where the broker is, and how long to wait for it. ``url`` holds a password: it is never logged."""

    url: str
    heartbeat_seconds: int = 10
    connect_timeout_seconds: float = 10.0
    confirm_timeout_seconds: float = 30.0

    def __str__(self) -> str:
        return describe(self.url)


def describe(url: str) -> str:
    """Return how people call the broker of this URL, without its password."""
    try:
        parsed = URL(url)
        port = parsed.port or _DEFAULT_PORTS.get(parsed.scheme)
        return f"RabbitMQ at {parsed.host}:{port}{parsed.path or '/'}"
    except ValueError:
        return "RabbitMQ"


@asynccontextmanager
async def connect(server: RabbitServer, *, name: str) -> AsyncIterator[AbstractConnection]:
    """Open one connection.

    Args:
        server: the broker.
        name: what the broker's own tools show for this connection.

    Raises:
        Unavailable: it cannot be reached.
        AccessRefused: user, password or virtual host were refused.
        Misconfigured: not an AMQP URL, or TLS cannot work.
    """
    try:
        url = URL(server.url).update_query(heartbeat=str(server.heartbeat_seconds), name=name)
    except ValueError as error:
        raise Misconfigured("rabbitmq.url is not an AMQP URL", "write it as amqp://user:password@host:5672/") from error
    tolerate_foreign_messages()
    with opening_errors(str(server)):
        async with asyncio.timeout(server.connect_timeout_seconds):
            connection = await aio_pika.connect(
                url,
                timeout=server.connect_timeout_seconds,
                client_properties={"connection_name": name},
                connection_class=KeptAliveConnection,
            )
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
