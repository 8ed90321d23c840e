"""A message as the bytes of its frames (AMQP 0-9-1, sections 2.3.5 and 4.2). Pure; opens nothing.

A page of messages becomes one buffer: method, header and body frames of each, one behind the other. What repeats
(method frames, names of headers) is encoded once.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from outbox.model.envelope import SHORT_STRING_MAX_BYTES, HeaderValue
from outbox.model.errors import Unpublishable

_FRAME_END = b"\xce"
_FRAME_OVERHEAD_BYTES = 8
_METHOD, _HEADER, _BODY = 1, 2, 3
_BASIC, _PUBLISH = 60, 40
_MANDATORY = b"\x01"
_PERSISTENT = b"\x02"
_CONTENT_TYPE, _HEADERS, _DELIVERY_MODE, _MESSAGE_ID = 0x8000, 0x2000, 0x1000, 0x0080
_TIMESTAMP, _TYPE, _APP_ID = 0x0040, 0x0020, 0x0008
_FLAGS = _CONTENT_TYPE | _HEADERS | _DELIVERY_MODE | _MESSAGE_ID | _TYPE | _APP_ID

_FRAME = struct.Struct(">BHI")
_METHOD_START = struct.Struct(">HHH")
# Frame header and content header in one: type, channel, size, class, weight, body size, property flags.
_HEADER_START = struct.Struct(">BHIHHQH")
_CONTENT_HEADER_BYTES = 14
_SIZE = struct.Struct(">I")
_INTEGER = struct.Struct(">cq")
_TIME = struct.Struct(">Q")
_STRING = struct.Struct(">cI")
_LENGTHS = tuple(bytes((length,)) for length in range(SHORT_STRING_MAX_BYTES + 1))
_TRUE, _FALSE = b"t\x01", b"t\x00"
# Types and header names are few; should somebody make them from data, the memory for them stays bounded.
_REMEMBERED = 4096


class Shared:
    """Headers that many messages have in common; encoded once."""

    def __init__(self, headers: Mapping[str, HeaderValue]) -> None:
        self.headers = headers
        self.fields = encode_fields(headers)


class Outgoing(NamedTuple):
    """One message to be sent, persistent and mandatory. ``shared`` headers come on top of its own."""

    exchange: str
    routing_key: str
    message_id: str
    type: str
    headers: Mapping[str, HeaderValue]
    body: bytes
    shared: Shared | None = None
    content_type: str = "application/json"
    app_id: str = "outbox"
    timestamp: int | None = None

    def all_headers(self) -> dict[str, HeaderValue]:
        """Return every header."""
        return dict(self.headers) if self.shared is None else {**self.headers, **self.shared.headers}


class FrameEncoder:
    """Encodes messages for one channel of one connection.

    Args:
        channel: its number.
        frame_max_bytes: what the connection has agreed on; 0 means no limit.
    """

    def __init__(self, channel: int, frame_max_bytes: int) -> None:
        self._channel = channel
        self._frame_max_bytes = frame_max_bytes or 2**31
        self._methods: dict[tuple[str, str], bytes] = {}

    def frames(self, message: Outgoing) -> bytes:
        """Return the frames of a message.

        Raises:
            Unpublishable: its headers do not fit into a frame, or a text not into its field.
        """
        exchange, routing_key, message_id, message_type, headers, body, shared, content_type, app_id, timestamp = (
            message
        )
        fields = encode_fields(headers) if shared is None else encode_fields(headers) + shared.fields
        properties = b"".join(
            (
                _short(content_type),
                _SIZE.pack(len(fields)),
                fields,
                _PERSISTENT,
                _encode_short(message_id),
                b"" if timestamp is None else _TIME.pack(timestamp),
                _short(message_type),
                _short(app_id),
            )
        )
        size_bytes = _CONTENT_HEADER_BYTES + len(properties)
        if size_bytes + _FRAME_OVERHEAD_BYTES > self._frame_max_bytes:
            raise Unpublishable(
                f"its headers have {size_bytes} bytes, this broker takes frames of {self._frame_max_bytes} (frame_max)"
            )
        flags = _FLAGS if timestamp is None else _FLAGS | _TIMESTAMP
        channel = self._channel
        parts = [
            self._methods.get((exchange, routing_key)) or self._method(exchange, routing_key),
            _HEADER_START.pack(_HEADER, channel, size_bytes, _BASIC, 0, len(body), flags),
            properties,
            _FRAME_END,
        ]
        most = self._frame_max_bytes - _FRAME_OVERHEAD_BYTES
        # A body of no bytes has no frame.
        for start in range(0, len(body), most):
            piece = body[start : start + most]
            parts += (_FRAME.pack(_BODY, channel, len(piece)), piece, _FRAME_END)
        return b"".join(parts)

    def _method(self, exchange: str, routing_key: str) -> bytes:
        arguments = _METHOD_START.pack(_BASIC, _PUBLISH, 0) + _short(exchange) + _short(routing_key) + _MANDATORY
        frame = _FRAME.pack(_METHOD, self._channel, len(arguments)) + arguments + _FRAME_END
        if len(self._methods) >= _REMEMBERED:
            self._methods.clear()
        self._methods[exchange, routing_key] = frame
        return frame


def encode_fields(headers: Mapping[str, HeaderValue]) -> bytes:
    """Return headers as the fields of a table, without the table's size."""
    fields: list[bytes] = []
    for name, value in headers.items():
        fields.append(_short(name))
        if isinstance(value, str):
            text = value.encode()
            fields += (_STRING.pack(b"S", len(text)), text)
        elif isinstance(value, bool):
            fields.append(_TRUE if value else _FALSE)
        else:
            # Always 64 bits: a consumer in a typed language gets one type, whatever the number.
            fields.append(_INTEGER.pack(b"l", value))
    return b"".join(fields)


@lru_cache(_REMEMBERED)
def _short(text: str) -> bytes:
    return _encode_short(text)


def _encode_short(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > SHORT_STRING_MAX_BYTES:
        raise Unpublishable(f"a text has {len(encoded)} bytes where AMQP takes up to {SHORT_STRING_MAX_BYTES}")
    return _LENGTHS[len(encoded)] + encoded
