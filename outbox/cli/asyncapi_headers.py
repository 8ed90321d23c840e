"""The headers of an event's message as a JSON Schema: what `outbox.model.envelope` writes, told to other teams."""

from __future__ import annotations

from outbox.model.claim import CLAIM_CHECK, CLAIM_CONTENT_TYPE, DATA_REFERENCE, PAYLOAD_BYTES, PAYLOAD_CONTENT_TYPE
from outbox.model.envelope import (
    CLOUDEVENTS_ID,
    CLOUDEVENTS_PREFIX,
    HEADER_NAME_MAX_BYTES,
    KEY,
    PARTITION_KEY,
    SEQUENCE,
    TRACEPARENT,
    TRACESTATE,
    VERSION,
)

Schema = dict[str, object]


def event_headers(source: str) -> Schema:
    """Return the schema of the headers that every event has; ``source`` is the CloudEvents source."""
    return {
        "type": "object",
        "required": [
            *(SEQUENCE, VERSION, CLOUDEVENTS_ID),
            *(f"{CLOUDEVENTS_PREFIX}{name}" for name in ("specversion", "source", "type")),
        ],
        "properties": {
            KEY: _text("What the event is about; events of one key are in order. Missing: no order."),
            SEQUENCE: {
                "type": "integer",
                "minimum": 1,
                "description": "Grows with every event of a key, with gaps; below 2^53, so exact in JavaScript.",
            },
            VERSION: {"type": "integer", "minimum": 1, "description": "Of the type's contract."},
            TRACEPARENT: _text("W3C trace context, when the application gave one."),
            TRACESTATE: _text("W3C trace context, when the application gave one."),
            f"{CLOUDEVENTS_PREFIX}specversion": {"const": "1.0", "description": "CloudEvents."},
            CLOUDEVENTS_ID: {"type": "string", "format": "uuid", "description": "The event's id, as message_id."},
            f"{CLOUDEVENTS_PREFIX}source": {"const": source, "description": "CloudEvents."},
            f"{CLOUDEVENTS_PREFIX}type": _text("The event's type, as the routing key."),
            PARTITION_KEY: _text("The key again."),
        },
        "propertyNames": {"maxLength": HEADER_NAME_MAX_BYTES},
        "additionalProperties": {
            "type": ["string", "integer", "boolean"],
            "description": "The application's own; x-… are the broker's and the outbox's.",
        },
    }


def claim_headers_schema(place: str) -> Schema:
    """Return the schema of the headers of a large payload's message; ``place`` is where that of events is."""
    return {
        "allOf": [{"$ref": f"#{place}"}],
        "type": "object",
        "required": [CLAIM_CHECK, PAYLOAD_BYTES, PAYLOAD_CONTENT_TYPE, DATA_REFERENCE],
        "properties": {
            CLAIM_CHECK: _text("SEQUENCE/EVENT-ID: what outbox.payload() and the HTTP endpoint ask for."),
            PAYLOAD_BYTES: {"type": "integer", "description": "The size of the payload."},
            PAYLOAD_CONTENT_TYPE: _text(f"What the payload is; the message itself is {CLAIM_CONTENT_TYPE}."),
            DATA_REFERENCE: _text("The payload's path on a sidecar's HTTP port."),
        },
    }


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}
