"""Loopback targets for the REST adapter: a well-behaved one, and a raw one that misbehaves byte by byte."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from adapters.http_target import HttpTarget
from adapters.rest import RestAdapter
from adapters.rest_settings import RestSettings
from outbox.model.adapter import Delivery
from outbox.model.connection import Connection
from outbox.model.outcome import Accepted, Applied, Receipt

BEARER = "s3cr3t-bearer-token"
CUSTOMER = "Anna Customer"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DELIVERY = Delivery(
    flow="orders-to-crm",
    message_id="m-1",
    type="order.confirmed",
    version=1,
    key="order-7",
    sequence=7,
    idempotency_key="m-1",
    document={"customer": CUSTOMER, "amount": 1},
)
IDEMPOTENCY = {"window": "1h"}
OK = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

Session = Callable[["Peer"], Awaitable[None]]


@dataclass(slots=True)
class Peer:
    """One accepted connection of a raw server, and everything the server has read so far."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: list[bytes]

    async def read_request(self) -> bytes:
        head = await self.reader.readuntil(b"\r\n\r\n")
        lengths = [
            line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        ]
        request = head + await self.reader.readexactly(int(lengths[0]) if lengths else 0)
        self.requests.append(request)
        return request

    async def answer(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


@dataclass(slots=True)
class RawServer:
    url: str
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def raw_server(session: Session) -> AsyncIterator[RawServer]:
    async def serve(peer: Peer) -> None:
        try:
            await session(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            peer.writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        peer = Peer(reader, writer, seen.requests)
        under_way.append((writer, sessions.create_task(serve(peer))))

    under_way: list[tuple[asyncio.StreamWriter, asyncio.Task[None]]] = []
    async with asyncio.TaskGroup() as sessions:
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        seen = RawServer(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        try:
            yield seen
        finally:
            server.close()
            for writer, task in under_way:
                writer.transport.abort()
                task.cancel()
            await server.wait_closed()


@asynccontextmanager
async def target(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def adapter_for(
    url: str,
    *,
    method: str = "POST",
    path: str = "/deals",
    external_id: str | None = None,
    connection: dict[str, object] | None = None,
    **settings: object,
) -> AsyncIterator[RestAdapter]:
    operation = {"method": method, "path": path, "external_id": external_id}
    adapter = RestAdapter(
        RestSettings.model_validate({"operations": {"order.confirmed": operation}} | settings),
        HttpTarget(
            Connection.model_validate({"base_url": url, "bearer": BEARER, "timeout": "5s"} | (connection or {}))
        ),
    )
    try:
        yield adapter
    finally:
        await adapter.close()


async def sent(adapter: RestAdapter, delivery: Delivery = DELIVERY) -> Receipt:
    """Send a delivery; whatever comes of it must not tell secrets or payloads."""
    (receipt,) = await adapter.send([adapter.render(delivery)], leave_by=math.inf, traceparent=TRACEPARENT)
    assert BEARER not in repr(receipt)
    assert CUSTOMER not in repr(receipt)
    return receipt


def reason_of(receipt: Receipt) -> str:
    assert not isinstance(receipt.outcome, Applied | Accepted)
    return str(getattr(receipt.outcome, "reason", ""))
