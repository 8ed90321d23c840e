"""Connections whose sockets notice a broker that is gone; heartbeats alone need longer, and see less."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aio_pika
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from yarl import URL

from outbox.model.tcp import PROMPT


class KeptAliveConnection(aio_pika.Connection):
    """The library's plain connection, over sockets with keepalive."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - the library's own signature
        super().__init__(*arguments, **options)
        self.kwargs["transport_factory"] = _KeptAliveTransport()


class _KeptAliveTransport(TransportFactory):
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
        return reader, writer
