"""A publisher that writes its frames byte by byte: what no library would send, and other languages do."""

from __future__ import annotations

import asyncio
import struct
from urllib.parse import urlsplit

from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.header import ProtocolHeader

_CHANNEL = 1
_HEADERS, _DELIVERY_MODE, _MESSAGE_ID, _TIMESTAMP = 0x2000, 0x1000, 0x80, 0x40
_BASIC = 60
_PERSISTENT = 2


def short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def table(entries: bytes) -> bytes:
    return struct.pack(">I", len(entries)) + entries


def number_entry(name: bytes, number: int) -> bytes:
    return short(name) + b"l" + struct.pack(">q", number)


def text_entry(name: bytes, text: bytes) -> bytes:
    return short(name) + b"S" + struct.pack(">I", len(text)) + text


def properties(*, headers: bytes, message_id: bytes, timestamp: int = 1_700_000_000) -> bytes:
    """Put the properties of a persistent message together; ``headers`` are the entries of a table."""
    flags = _HEADERS | _DELIVERY_MODE | _MESSAGE_ID | _TIMESTAMP
    return (
        struct.pack(">H", flags)
        + table(headers)
        + bytes([_PERSISTENT])
        + short(message_id)
        + struct.pack(">Q", timestamp)
    )


def bare_properties(headers: bytes | None) -> bytes:
    """Put the properties of a message together that has headers, or not even these, and no id."""
    return struct.pack(">H", 0) if headers is None else struct.pack(">H", _HEADERS) + table(headers)


async def publish_raw(url: str, queue: str, messages: list[bytes], *, body: bytes = b"{}") -> None:
    """Publish messages with these properties, and return when every one is confirmed."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)

    async def answer() -> object:
        head = await reader.readexactly(7)
        (size,) = struct.unpack(">I", head[3:])
        return frame.unmarshal(head + await reader.readexactly(size + 1))[2]

    def send(method: frame.FrameTypes, channel: int = 0) -> None:
        writer.write(frame.marshal(method, channel))

    try:
        writer.write(ProtocolHeader().marshal())
        await answer()
        send(commands.Connection.StartOk({}, "PLAIN", f"\0{parts.username}\0{parts.password}"))
        tune = await answer()
        assert isinstance(tune, commands.Connection.Tune)
        send(commands.Connection.TuneOk(tune.channel_max, tune.frame_max, 0))
        send(commands.Connection.Open(parts.path.lstrip("/")))
        await answer()
        send(commands.Channel.Open(), _CHANNEL)
        await answer()
        send(commands.Confirm.Select(), _CHANNEL)
        await answer()
        for message in messages:
            send(commands.Basic.Publish(exchange="", routing_key=queue), _CHANNEL)
            header = struct.pack(">HHQ", _BASIC, 0, len(body)) + message
            writer.write(struct.pack(">BHI", 2, _CHANNEL, len(header)) + header + b"\xce")
            send(ContentBody(body), _CHANNEL)
        confirmed = 0
        while confirmed < len(messages):
            ack = await answer()
            assert isinstance(ack, commands.Basic.Ack), ack
            confirmed = ack.delivery_tag or 0
    finally:
        writer.close()
        await writer.wait_closed()
