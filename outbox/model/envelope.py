"""The envelope: an event as a message. What goes on the wire is decided here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeGuard

from outbox.model.claim import CLAIM_HEADERS, Claim, claim_headers
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
CLOUDEVENTS_ID = CLOUDEVENTS_PREFIX + "id"
PARTITION_KEY = CLOUDEVENTS_PREFIX + "partitionkey"
_SPEC_VERSION = CLOUDEVENTS_PREFIX + "specversion"
_SOURCE = CLOUDEVENTS_PREFIX + "source"
_TYPE = CLOUDEVENTS_PREFIX + "type"
_OURS = frozenset((VERSION, _SPEC_VERSION, _SOURCE, _TYPE, SEQUENCE, KEY, CLOUDEVENTS_ID, *CLAIM_HEADERS))

# The class of a refused event's reason, on its dead letter.
UNPUBLISHABLE = "unpublishable"
BREAKS_CONTRACT = "contract"

# W3C trace context, level 2: a header that does not parse is ignored, never repaired.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Envelope(NamedTuple):
    """One event, ready to be sent. A named tuple, because one is made for every event and they are made fastest.

    ``sequence`` is the outbox row's id: it orders the events of one key. ``payload`` is the row's JSON text,
    byte for byte. ``headers`` are the application's own. With ``claimed_bytes`` the payload has so many bytes, stays
    in its row and travels as a reference.
    """

    message_id: str
    sequence: int
    type: str
    version: int
    key: str | None
    payload: bytes
    created_at_epoch_seconds: int
    headers: Mapping[str, HeaderValue]
    claimed_bytes: int | None = None

    def claimed(self) -> Envelope:
        """Return the same event with its payload left in the outbox."""
        return self._replace(payload=b"", claimed_bytes=len(self.payload))


def wire_headers(envelope: Envelope, *, source: str) -> dict[str, HeaderValue]:
    """Return the AMQP headers of a message: the application's, then ours, which win.

    CloudEvents attributes follow the AMQP binding's ``cloudEvents_`` prefix; ``id``, ``type`` and
    ``datacontenttype`` already are AMQP properties, but consumers of the binding read headers only.
    """
    return own_headers(envelope) | shared_headers(envelope.type, envelope.version, source=source)


def own_headers(envelope: Envelope) -> dict[str, HeaderValue]:
    """Return the headers in which this event may differ from all others of its type."""
    headers = application_headers(envelope)
    headers[SEQUENCE] = envelope.sequence
    if envelope.key is not None:
        headers[KEY] = envelope.key
        headers[PARTITION_KEY] = envelope.key
    headers[CLOUDEVENTS_ID] = envelope.message_id
    if envelope.claimed_bytes is not None:
        headers |= claim_headers(Claim(envelope.sequence, envelope.message_id), envelope.claimed_bytes)
    return headers


def application_headers(envelope: Envelope) -> dict[str, HeaderValue]:
    """Return the application's own headers, without those that are ours to say."""
    if not envelope.headers:
        return {}
    headers = {name: value for name, value in envelope.headers.items() if name not in _OURS}
    if not is_traceparent(headers.get(TRACEPARENT)):
        headers.pop(TRACEPARENT, None)
        headers.pop(TRACESTATE, None)
    if envelope.key is not None:
        headers.pop(PARTITION_KEY, None)
    return headers


def shared_headers(event_type: str, version: int, *, source: str) -> dict[str, HeaderValue]:
    """Return the headers that every event of this type has; none of them is among `own_headers`."""
    return {VERSION: version, _SPEC_VERSION: "1.0", _SOURCE: source, _TYPE: event_type}


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
    # Whatever the encoding makes of it: four bytes a character at most.
    if len(envelope.type) * 4 > SHORT_STRING_MAX_BYTES or not envelope.type:
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
    """An event that cannot or must not become a message; the cursor passes it once it is recorded."""

    message_id: str
    sequence: int
    type: str
    version: int
    key: str | None
    reason: str
    reason_class: str = UNPUBLISHABLE


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the broker delivered it, foreign ones included. ``tag`` acknowledges it on its channel."""

    tag: int
    body: bytes
    routing_key: str
    message_id: str | None
    type: str | None
    headers: Mapping[str, object]
