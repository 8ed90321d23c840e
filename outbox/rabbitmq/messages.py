"""What is sent, as messages: events, events that cannot be sent, copies of dead deliveries. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from outbox.model.claim import CLAIM_CHECK, CLAIM_CONTENT_TYPE, CLAIM_HEADERS, EVENT_CONTENT_TYPE
from outbox.model.dead_copies import ATTEMPTS, DEATH, DELIVERY, FLOW, REASON, REASON_CLASS
from outbox.model.envelope import (
    CLOUDEVENTS_PREFIX,
    KEY,
    SEQUENCE,
    SHORT_STRING_MAX_BYTES,
    TRACEPARENT,
    TRACESTATE,
    VERSION,
    Envelope,
    HeaderValue,
    RefusedEvent,
    own_headers,
)
from outbox.model.errors import Unpublishable
from outbox.model.inbox import BODY_LEFT_OUT, DeadLetter
from outbox.rabbitmq.topology import DEAD, EVENTS, REJECTED
from outbox.rabbitmq.wire import Outgoing, Shared, encode_fields

# On a dead letter whose headers did not fit into a frame: how many are missing.
HEADERS_LEFT_OUT = "x-outbox-headers-left-out"
_ALWAYS = (FLOW, REASON, REASON_CLASS, ATTEMPTS, DELIVERY, DEATH, BODY_LEFT_OUT)
_CONTRACT = (SEQUENCE, VERSION, KEY, TRACEPARENT, TRACESTATE, *CLAIM_HEADERS)
# What is left of a text that always stays; AMQP's smallest frame takes all of those.
_SHORTENED_BYTES = 1000
# More than the other properties of a message and the frame itself take: three texts of 255 bytes, and some.
_BESIDE_HEADERS_BYTES = 1024
_NO_LIMIT_BYTES = 2**31
_INT64 = range(-(2**63), 2**63)


def event_message(event: Envelope, shared: Shared) -> Outgoing:
    """Return an event as the published contract has it."""
    return Outgoing(
        EVENTS,
        event.type,
        event.message_id,
        event.type,
        own_headers(event),
        event.payload,
        shared,
        content_type=EVENT_CONTENT_TYPE if event.claimed_bytes is None else CLAIM_CONTENT_TYPE,
        timestamp=event.created_at_epoch_seconds,
    )


def rejected_message(event: RefusedEvent) -> Outgoing:
    """Return the dead letter of an event that cannot become a message; its payload stays in the outbox."""
    headers: dict[str, HeaderValue] = {
        "sequence": event.sequence,
        "version": event.version,
        REASON: event.reason,
        REASON_CLASS: event.reason_class,
    }
    if event.key is not None:
        headers["key"] = event.key
    return Outgoing(
        DEAD, REJECTED, event.message_id, _short(event.type), headers, b"", content_type="application/octet-stream"
    )


def dead_message(letter: DeadLetter) -> Outgoing:
    """Return the copy of a dead delivery."""
    headers: dict[str, HeaderValue] = {
        name: value
        for name, value in letter.headers.items()
        if isinstance(value, str) or (isinstance(value, int) and value in _INT64)
    }
    headers |= {
        FLOW: letter.flow,
        REASON: letter.reason,
        REASON_CLASS: letter.reason_class,
        ATTEMPTS: letter.attempts,
        DELIVERY: letter.id,
        DEATH: letter.deaths,
    }
    return Outgoing(
        DEAD,
        letter.flow,
        letter.message_id,
        _short(letter.type),
        headers,
        letter.body,
        content_type=CLAIM_CONTENT_TYPE if CLAIM_CHECK in letter.headers else EVENT_CONTENT_TYPE,
    )


def fitted(letter: Outgoing, frame_max_bytes: int) -> Outgoing:
    """Return a dead letter whose headers fit into a frame, whatever they were.

    The reason stays, cut off where it is long; then as many headers as there is room for, those of the published
    contract before the application's, small ones before large ones. A value is left out as a whole: half a key is
    another key. The row in the database has all of it.

    Args:
        letter: a message with headers of its own only.
        frame_max_bytes: what the connection has agreed on, 4096 or more; 0 means no limit.
    """
    always: dict[str, HeaderValue] = {
        name: _cut(value, _SHORTENED_BYTES) if isinstance(value, str) else value
        for name, value in letter.headers.items()
        if name in _ALWAYS
    }
    others = {name: value for name, value in letter.headers.items() if name not in _ALWAYS}
    room_bytes = (
        (frame_max_bytes or _NO_LIMIT_BYTES) - _BESIDE_HEADERS_BYTES - _size_bytes({**always, HEADERS_LEFT_OUT: 0})
    )
    kept: set[str] = set()
    for _, size_bytes, name in sorted(
        (not _is_contract(name), _size_bytes({name: value}), name) for name, value in others.items()
    ):
        if size_bytes <= room_bytes:
            room_bytes -= size_bytes
            kept.add(name)
    headers = {name: value for name, value in others.items() if name in kept} | always
    if len(kept) < len(others):
        headers[HEADERS_LEFT_OUT] = len(others) - len(kept)
    return letter._replace(headers=headers)


def _is_contract(name: str) -> bool:
    return name in _CONTRACT or name.startswith(CLOUDEVENTS_PREFIX)


def _size_bytes(headers: Mapping[str, HeaderValue]) -> float:
    try:
        return len(encode_fields(headers))
    except Unpublishable:
        # A name that is too long for its field: what was no UTF-8 becomes longer when it is read.
        return float("inf")


def _short(value: str) -> str:
    return _cut(value, SHORT_STRING_MAX_BYTES)


def _cut(value: str, max_bytes: int) -> str:
    return value.encode()[:max_bytes].decode(errors="ignore")
