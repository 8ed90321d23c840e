"""Connections whose sockets notice a broker that is gone, and which can leave unread what the broker sends.

Heartbeats alone would notice later, and see less.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any

import aio_pika
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from yarl import URL

from outbox.model.tcp import PROMPT


class KeptAliveConnection(aio_pika.Connection):
    """The library's plain connection, over sockets with keepalive.

    While ``may_read`` is not set nothing more is read: what the broker sends waits in the network and with the broker.
    For longer than its heartbeats allow the library takes such a connection for dead.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - the library's own signature
        super().__init__(*arguments, **options)
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.kwargs["transport_factory"] = _KeptAliveTransport(self.may_read)


class _Reader(asyncio.StreamReader):
    """A reader with a door. It has the methods that the library uses."""

    def __init__(self, reader: asyncio.StreamReader, may_read: asyncio.Event) -> None:
        super().__init__()
        self._behind = reader
        self._may_read = may_read

    def at_eof(self) -> bool:
        return self._behind.at_eof()

    def read(self, n: int = -1) -> Coroutine[Any, Any, bytes]:
        return self._behind.read(n)

    def readexactly(self, n: int) -> Coroutine[Any, Any, bytes]:
        return self._behind.readexactly(n) if self._may_read.is_set() else self._read_later(n)

    async def _read_later(self, n: int) -> bytes:
        await self._may_read.wait()
        return await self._behind.readexactly(n)


class _KeptAliveTransport(TransportFactory):
    def __init__(self, may_read: asyncio.Event) -> None:
        self._may_read = may_read

    async def create(
        self,
        url: URL,
        **options: Any,  # noqa: ANN401 - the library's own signature
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        plain = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, writer = await plain.create(url, **options)
        raw = writer.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            for option in PROMPT.options():
                raw.setsockopt(*option)
        return _Reader(reader, self._may_read), writer
