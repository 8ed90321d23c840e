"""A message as the bytes of its frames (AMQP 0-9-1, sections 2.3.5 and 4.2). Pure; opens nothing.

A page of messages becomes one buffer: method, header and body frames of each, one behind the other. What repeats
(method frames, names of headers) is encoded once; of events, everything that their type and version decide.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from outbox.model.envelope import (
    CLOUDEVENTS_ID,
    KEY,
    PARTITION_KEY,
    SEQUENCE,
    SHORT_STRING_MAX_BYTES,
    Envelope,
    HeaderValue,
    application_headers,
)
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
_STAMPED = _FLAGS | _TIMESTAMP

_FRAME_START = struct.Struct(">BH")
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
_APPLICATION = "outbox"
# Types and header names are few; should somebody make them from data, the memory for them stays bounded.
_REMEMBERED = 4096
# Stencils are cut for keys of so many different lengths.
_REMEMBERED_LENGTHS = 512
# What PostgreSQL writes a UUID with.
_ID_BYTES = 36

# How it is packed, the size of both places of the key together, and what stands before the key in each of them.
_Keyed = tuple[Callable[..., bytes], int, bytes, bytes]


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
    app_id: str = _APPLICATION
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
        self.channel = channel
        self.frame_max_bytes = frame_max_bytes or 2**31
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
        if size_bytes + _FRAME_OVERHEAD_BYTES > self.frame_max_bytes:
            raise Unpublishable(
                f"its headers have {size_bytes} bytes, this broker takes frames of {self.frame_max_bytes} (frame_max)"
            )
        flags = _FLAGS if timestamp is None else _STAMPED
        channel = self.channel
        parts = [
            self._methods.get((exchange, routing_key)) or self.method(exchange, routing_key),
            _HEADER_START.pack(_HEADER, channel, size_bytes, _BASIC, 0, len(body), flags),
            properties,
            _FRAME_END,
        ]
        most = self.frame_max_bytes - _FRAME_OVERHEAD_BYTES
        # A body of no bytes has no frame.
        for start in range(0, len(body), most):
            piece = body[start : start + most]
            parts += (_FRAME.pack(_BODY, channel, len(piece)), piece, _FRAME_END)
        return b"".join(parts)

    def method(self, exchange: str, routing_key: str) -> bytes:
        """Return the frame that says where a message goes."""
        arguments = _METHOD_START.pack(_BASIC, _PUBLISH, 0) + _short(exchange) + _short(routing_key) + _MANDATORY
        frame = _FRAME.pack(_METHOD, self.channel, len(arguments)) + arguments + _FRAME_END
        if len(self._methods) >= _REMEMBERED:
            self._methods.clear()
        self._methods[exchange, routing_key] = frame
        return frame


class Stencil:
    """The form of all events of one type and version on one channel, to be filled in.

    They differ in six things only: the application's headers, sequence, key, id, time and payload. What stands between
    these is packed once. The bytes are those of `FrameEncoder` for the same event, in a fifth of the time.

    Args:
        encoder: the channel's.
        exchange: where the events go.
        event_type: their type.
        content_type: of their payload.
        shared: the headers that all of them have.
    """

    def __init__(
        self, encoder: FrameEncoder, exchange: str, event_type: str, content_type: str, shared: Shared
    ) -> None:
        self._max_frame_bytes = encoder.frame_max_bytes - _FRAME_OVERHEAD_BYTES
        start = encoder.method(exchange, event_type) + _FRAME_START.pack(_HEADER, encoder.channel)
        properties = _short(content_type)
        named = _short(SEQUENCE) + b"l"
        named_id = _short(CLOUDEVENTS_ID) + _STRING.pack(b"S", _ID_BYTES)
        message_id = shared.fields + _PERSISTENT + _LENGTHS[_ID_BYTES]
        end = _short(event_type) + _short(_APPLICATION) + _FRAME_END + _FRAME_START.pack(_BODY, encoder.channel)
        self._pack_start = struct.Struct(f">{len(start)}sIHHQH{len(properties)}sI").pack
        self._rest = f"{len(named_id)}s{_ID_BYTES}s{len(message_id)}s{_ID_BYTES}sQ{len(end)}sI"
        self._named = f">{len(named)}sq"
        self._pack_keyless = struct.Struct(self._named + self._rest).pack
        self._keyed: dict[int, _Keyed] = {}
        self._fixed = (start, properties, named, named_id, message_id, end)
        # Without a key and without the application's headers.
        self._table_bytes = struct.calcsize(self._named) + len(named_id) + _ID_BYTES + len(shared.fields)
        self._header_bytes = (
            struct.calcsize(f">HHQH{len(properties)}sI{self._named[1:]}{self._rest}")
            # The frame that follows: its start and its size.
            - len(_FRAME_END) - _FRAME_START.size - _SIZE.size
        )  # fmt: skip

    def frames(self, event: Envelope) -> bytes | None:
        """Return the frames of an event, or None when it does not fit the form, as few do; then ask the encoder."""
        message_id, sequence, _, _, key, payload, created_at, headers, claimed_bytes = event
        start, properties, named, named_id, between, end = self._fixed
        own_id = message_id.encode()
        size_bytes = len(payload)
        if claimed_bytes is not None or len(own_id) != _ID_BYTES or not 0 < size_bytes <= self._max_frame_bytes:
            return None
        fields = encode_fields(application_headers(event)) if headers else b""
        more_bytes = len(fields)
        if key is None:
            rest = self._pack_keyless(named, sequence, named_id, own_id, between, own_id, created_at, end, size_bytes)
        else:
            text = key.encode()
            pack, key_bytes, key_named, again = self._keyed.get(len(text)) or self._key_of(len(text))
            more_bytes += key_bytes
            rest = pack(
                named, sequence, key_named, text, again, text,
                named_id, own_id, between, own_id, created_at, end, size_bytes,
            )  # fmt: skip
        header_bytes = self._header_bytes + more_bytes
        if header_bytes > self._max_frame_bytes:
            return None
        table_bytes = self._table_bytes + more_bytes
        begun = self._pack_start(start, header_bytes, _BASIC, 0, size_bytes, _STAMPED, properties, table_bytes)
        return b"".join((begun, fields, rest, payload, _FRAME_END))

    def _key_of(self, length_bytes: int) -> _Keyed:
        """Return how events are packed whose key has this length, and what stands before it in its two places."""
        named = _short(KEY) + _STRING.pack(b"S", length_bytes)
        again = _short(PARTITION_KEY) + _STRING.pack(b"S", length_bytes)
        places = f"{len(named)}s{length_bytes}s{len(again)}s{length_bytes}s"
        keyed = struct.Struct(self._named + places + self._rest).pack, struct.calcsize(f">{places}"), named, again
        if len(self._keyed) >= _REMEMBERED_LENGTHS:
            self._keyed.clear()
        self._keyed[length_bytes] = keyed
        return keyed


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
