"""What is sent, as messages: events, events that cannot be sent, copies of dead deliveries. Pure."""

from __future__ import annotations

from outbox.model.claim import CLAIM_CHECK, CLAIM_CONTENT_TYPE, EVENT_CONTENT_TYPE
from outbox.model.envelope import SHORT_STRING_MAX_BYTES, Envelope, HeaderValue, RefusedEvent, own_headers
from outbox.model.inbox import DeadLetter
from outbox.rabbitmq.topology import DEAD, EVENTS, REJECTED
from outbox.rabbitmq.wire import Outgoing, Shared


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
        "x-outbox-reason": event.reason,
        "x-outbox-reason-class": "unpublishable",
    }
    if event.key is not None:
        headers["key"] = event.key
    return Outgoing(DEAD, REJECTED, event.message_id, event.type, headers, b"", content_type="application/octet-stream")


def dead_message(letter: DeadLetter) -> Outgoing:
    """Return the copy of a dead delivery."""
    headers: dict[str, HeaderValue] = {
        name: value for name, value in letter.headers.items() if isinstance(value, (str, int, bool))
    }
    headers |= {
        "x-outbox-flow": letter.flow,
        "x-outbox-reason": letter.reason,
        "x-outbox-reason-class": letter.reason_class,
        "x-outbox-attempts": letter.attempts,
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


def _short(value: str) -> str:
    return value.encode()[:SHORT_STRING_MAX_BYTES].decode(errors="ignore")
