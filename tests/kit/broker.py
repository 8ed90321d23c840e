"""A virtual host for one test, and what a test wants to know of its queues."""

from __future__ import annotations

import base64
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import aiohttp
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from outbox.rabbitmq.connection import RabbitServer
from outbox.rabbitmq.topology import exchanges, queues
from tests.kit.shared_servers import Addresses
from tests.kit.urls import with_vhost


@dataclass(frozen=True, slots=True)
class Broker:
    url: str
    management_url: str | None
    vhost: str

    @property
    def server(self) -> RabbitServer:
        return RabbitServer(self.url)

    @asynccontextmanager
    async def channel(self, *, confirms: bool = True) -> AsyncIterator[AbstractChannel]:
        connection = await aio_pika.connect(self.url)
        async with connection:
            yield await connection.channel(publisher_confirms=confirms, on_return_raises=confirms)

    async def bind_audit(self, routing_key: str = "#", queue: str = "audit") -> None:
        """A downstream service of its own: a queue that gets a copy of every event. The exchange must exist."""
        async with self.channel() as channel:
            declared = await channel.declare_queue(queue, durable=True, arguments={"x-queue-type": "quorum"})
            await declared.bind("outbox.events", routing_key)

    async def depth(self, queue: str) -> int:
        async with self.channel() as channel:
            declared = await channel.declare_queue(queue, passive=True)
            count = declared.declaration_result.message_count
            assert count is not None
            return count

    async def take(self, queue: str) -> list[AbstractIncomingMessage]:
        """Take everything that is in a queue now, in its order. Queues with a single active consumer refuse this."""
        taken: list[AbstractIncomingMessage] = []
        async with self.channel() as channel:
            declared = await channel.get_queue(queue)
            while (message := await declared.get(fail=False, no_ack=True)) is not None:
                taken.append(message)
        return taken


@asynccontextmanager
async def fresh_vhost(addresses: Addresses) -> AsyncIterator[Broker]:
    if addresses.management_url is None:
        vhost = urlsplit(addresses.amqp_url).path.lstrip("/") or "/"
        broker = Broker(addresses.amqp_url, None, vhost)
        await _clear(broker)
        yield broker
        return
    name = f"test-{uuid.uuid4().hex[:12]}"
    await manage(addresses.management_url, "PUT", f"/api/vhosts/{name}")
    await manage(
        addresses.management_url,
        "PUT",
        f"/api/permissions/{name}/guest",
        {"configure": ".*", "write": ".*", "read": ".*"},
    )
    try:
        yield Broker(with_vhost(addresses.amqp_url, name), addresses.management_url, name)
    finally:
        await manage(addresses.management_url, "DELETE", f"/api/vhosts/{name}")


async def manage(management_url: str, method: str, path: str, body: object = None) -> object:
    """Call the management API; anything but success is an error."""
    parts = urlsplit(management_url)
    credentials, _, host = parts.netloc.rpartition("@")
    headers = {"Authorization": "Basic " + base64.b64encode((credentials or "guest:guest").encode()).decode()}
    async with (
        aiohttp.ClientSession(urlunsplit(parts._replace(netloc=host)), headers=headers) as session,
        session.request(method, path, json=body, raise_for_status=True) as answer,
    ):
        return await answer.json(content_type=None)


async def _clear(broker: Broker) -> None:
    async with broker.channel() as channel:
        for queue in (*(spec.name for spec in queues(())), "audit"):
            await channel.queue_delete(queue)
        for exchange in exchanges():
            await channel.exchange_delete(exchange.name)
