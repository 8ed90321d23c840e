"""The envelope: an event as a message. What goes on the wire is decided here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

from outbox.model.errors import Unpublishable

HeaderValue = str | int | bool

# AMQP 0-9-1 short strings (routing keys, property values) carry at most 255 bytes.
SHORT_STRING_MAX_BYTES = 255
# The specification's bound for names in tables; the library cuts longer ones off.
HEADER_NAME_MAX_BYTES = 128
# RabbitMQ sends copies to the queues that these list, and closes the channel when they are no list.
_BROKER_HEADERS = ("CC", "BCC")

KEY = "key"
SEQUENCE = "sequence"
VERSION = "version"
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
CLOUDEVENTS_PREFIX = "cloudEvents_"

# W3C trace context, level 2: a header that does not parse is ignored, never repaired.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event, ready to be sent.

    ``sequence`` is the outbox row's id: it orders the events of one key. ``payload`` is the row's JSON text,
    byte for byte. ``headers`` are the application's own.
    """

    message_id: str
    sequence: int
    type: str
    version: int
    key: str | None
    payload: bytes
    created_at_epoch_seconds: int
    headers: Mapping[str, HeaderValue]


def wire_headers(envelope: Envelope, *, source: str) -> dict[str, HeaderValue]:
    """Return the AMQP headers of a message: the application's, then ours, which win.

    CloudEvents attributes follow the AMQP binding's ``cloudEvents_`` prefix; ``id``, ``type`` and
    ``datacontenttype`` already are AMQP properties, but consumers of the binding read headers only.
    """
    headers: dict[str, HeaderValue] = dict(envelope.headers)
    if not is_traceparent(headers.get(TRACEPARENT)):
        headers.pop(TRACEPARENT, None)
        headers.pop(TRACESTATE, None)
    headers[SEQUENCE] = envelope.sequence
    headers[VERSION] = envelope.version
    headers.pop(KEY, None)
    if envelope.key is not None:
        headers[KEY] = envelope.key
        headers[CLOUDEVENTS_PREFIX + "partitionkey"] = envelope.key
    headers[CLOUDEVENTS_PREFIX + "specversion"] = "1.0"
    headers[CLOUDEVENTS_PREFIX + "id"] = envelope.message_id
    headers[CLOUDEVENTS_PREFIX + "source"] = source
    headers[CLOUDEVENTS_PREFIX + "type"] = envelope.type
    return headers


def is_traceparent(value: object) -> TypeGuard[str]:
    """Say whether a value is a valid W3C traceparent."""
    return isinstance(value, str) and _TRACEPARENT.fullmatch(value) is not None


def check_publishable(envelope: Envelope, *, max_payload_bytes: int) -> None:
    """Refuse what the broker would answer by closing the channel.

    Raises:
        Unpublishable: with the reason; nothing of the payload is in it.
    """
    if len(envelope.payload) > max_payload_bytes:
        raise Unpublishable(
            f"payload has {len(envelope.payload)} bytes, the limit rabbitmq.max_payload_bytes is {max_payload_bytes}"
        )
    _check_size("type", envelope.type, SHORT_STRING_MAX_BYTES)
    for name in envelope.headers:
        _check_size(f"header name {name[:40]!r}", name, HEADER_NAME_MAX_BYTES)
        if name in _BROKER_HEADERS:
            raise Unpublishable(f"header {name} is RabbitMQ's own, to send copies to other queues; use another name")


def _check_size(what: str, value: str, max_bytes: int) -> None:
    size_bytes = len(value.encode("utf-8", "surrogatepass"))
    if not 0 < size_bytes <= max_bytes:
        raise Unpublishable(f"{what} has {size_bytes} bytes, AMQP takes 1 to {max_bytes}")


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """An event that cannot become a message; the cursor passes it once it is recorded."""

    message_id: str
    sequence: int
    type: str
    version: int
    key: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the broker delivered it, foreign ones included. ``tag`` acknowledges it on its channel."""

    tag: int
    body: bytes
    routing_key: str
    message_id: str | None
    type: str | None
    headers: Mapping[str, object]
