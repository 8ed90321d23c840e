"""From the rows of outbox.read_page to events; a row that cannot become a message is a refusal with its reason."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import asyncpg
import orjson

from outbox.model.cursor import Page, PageLimits
from outbox.model.envelope import Envelope, HeaderValue, RefusedEvent, check_publishable
from outbox.model.errors import Unpublishable
from outbox.model.exact_json import exact_number

_Row = asyncpg.Record | tuple[Any, ...]
# Columns are taken by their place: by name it costs twice as much.
_PAYLOAD_BYTES = 6
_AGE_SECONDS = 9


def page_of(rows: Sequence[_Row], limits: PageLimits) -> Page:
    """Return the page that these rows are, each with the columns of outbox.read_page in their order."""
    return Page(
        [_event(row, limits) for row in rows],
        sum([row[_PAYLOAD_BYTES] for row in rows]),
        max([row[_AGE_SECONDS] for row in rows], default=0.0),
    )


def _event(row: _Row, limits: PageLimits) -> Envelope | RefusedEvent:
    # In the order of the columns of outbox.read_page.
    sequence, event_id, event_type, version, key, payload, payload_bytes, headers, created_at_epoch_seconds, _ = row
    try:
        if payload is None and payload_bytes > limits.max_claimed_bytes:
            most = max(limits.max_payload_bytes, limits.max_claimed_bytes)
            raise Unpublishable(f"payload has {payload_bytes} bytes, the limit rabbitmq.max_payload_bytes is {most}")
        envelope = Envelope(
            event_id,
            sequence,
            event_type,
            version,
            key,
            b"" if payload is None else payload.encode(),
            created_at_epoch_seconds,
            {} if headers is None else _headers(headers),
            payload_bytes if payload is None else None,
        )
        check_publishable(envelope, max_payload_bytes=limits.max_payload_bytes)
    except Unpublishable as refusal:
        return RefusedEvent(event_id, sequence, event_type, version, key, refusal.reason)
    return envelope


def _headers(text: str) -> Mapping[str, HeaderValue]:
    """Scalars stay what they are, with every digit; lists and objects travel as their JSON text."""
    try:
        # Not orjson: it reads 1.10 as 1.1, and large integers as floats.
        decoded = json.loads(text, parse_float=Decimal, parse_int=_integer)
        return {name: _header_value(value) for name, value in decoded.items() if value is not None}
    except UnicodeEncodeError as error:
        raise Unpublishable("headers cannot be sent: a text is not valid Unicode") from error
    except RecursionError as error:
        raise Unpublishable("headers cannot be sent: they are nested too deep") from error
    except (ValueError, TypeError) as error:
        raise Unpublishable(f"headers cannot be sent: {type(error).__name__}") from error


def _integer(text: str) -> int | Decimal:
    number = Decimal(text)
    return int(number) if -(2**63) <= number < 2**63 else number


def _header_value(value: object) -> HeaderValue:
    match value:
        case bool() | int():
            return value
        case str():
            value.encode()  # a lone surrogate has no bytes
            return value
        case Decimal():
            return str(value)
        case _:
            return orjson.dumps(value, default=exact_number).decode()
