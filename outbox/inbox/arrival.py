"""From a message on the wire to an arrival in the inbox. Pure; whatever came in, something with a reason comes out."""

from __future__ import annotations

import base64
import hashlib
import re

import orjson

from outbox.model.claim import CLAIM_CHECK, parse_claim
from outbox.model.dead_copies import copy_of
from outbox.model.envelope import KEY, SEQUENCE, TRACEPARENT, VERSION, Message, is_traceparent
from outbox.model.inbox import BODY_LEFT_OUT, Arrival

_MAX_ID_BYTES = 255
_MAX_KEY_BYTES = 512
_INT64 = 2**63
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def arrival_of(message: Message, flow: str | None = None) -> Arrival:
    """Return the arrival for a message; what is not an envelope gets a refusal and becomes a dead letter.

    A foreign message has no key in the inbox: it must not hold back the events of a key. The copy of a dead letter of
    this flow is known again by the id under which it was sent, whatever was left out of it.
    """
    problems = _problems(message)
    headers_json = _headers_json(message.headers)
    copy = None if flow is None else copy_of(message.message_id, message.headers, flow)
    if copy is not None and not _is_text(copy.message_id, _MAX_ID_BYTES):
        copy = None
    if problems:
        return Arrival(
            message_id=_stand_in_id(message) if copy is None else copy.message_id,
            sequence=0,
            type=_printable(message.type or message.routing_key) or "unknown",
            version=1,
            key=None,
            headers_json=headers_json,
            body=message.body,
            refusal="not an envelope: " + "; ".join(problems),
            copy=copy,
        )
    headers = message.headers
    key = headers.get(KEY)
    version = headers.get(VERSION, 1)
    sequence = headers[SEQUENCE]
    traceparent = headers.get(TRACEPARENT)
    claim = parse_claim(headers.get(CLAIM_CHECK))
    return Arrival(
        message_id=str(message.message_id),
        sequence=sequence if isinstance(sequence, int) else 0,
        type=message.type or message.routing_key,
        version=version if isinstance(version, int) else 1,
        key=key if isinstance(key, str) else None,
        headers_json=headers_json,
        traceparent=traceparent if is_traceparent(traceparent) else None,
        body=message.body if claim is None else None,
        claim=None if claim is None else claim.text(),
        copy=copy,
    )


def _problems(message: Message) -> list[str]:
    headers = message.headers
    problems = []
    if not message.message_id:
        problems.append("property message_id is missing")
    elif not _is_text(message.message_id, _MAX_ID_BYTES):
        problems.append("property message_id is too long or has control characters")
    if not _is_text(message.type or message.routing_key, _MAX_ID_BYTES):
        problems.append("property type is missing or has control characters")
    if not _is_integer(headers.get(SEQUENCE), 0, _INT64 - 1):
        problems.append(f"header {SEQUENCE} is missing or not a whole number")
    if not _is_integer(headers.get(VERSION, 1), 1, 2**31 - 1):
        problems.append(f"header {VERSION} is not a positive whole number")
    key = headers.get(KEY)
    if key is not None and not (isinstance(key, str) and _is_text(key, _MAX_KEY_BYTES)):
        problems.append(f"header {KEY} is not a text of 1 to {_MAX_KEY_BYTES} bytes")
    if CLAIM_CHECK in headers and parse_claim(headers[CLAIM_CHECK]) is None:
        problems.append(f"header {CLAIM_CHECK} is not a sequence and an event id")
    if BODY_LEFT_OUT in headers:
        problems.append(f"header {BODY_LEFT_OUT} says that it has no body")
    return problems


def _is_integer(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_text(value: str, max_bytes: int) -> bool:
    try:
        size_bytes = len(value.encode())
    except UnicodeEncodeError:
        return False
    return 0 < size_bytes <= max_bytes and _CONTROL.search(value) is None


def _printable(value: str) -> str:
    text = value.encode(errors="replace").decode()
    return "".join(character if character >= " " else "?" for character in text)[:_MAX_ID_BYTES]


def _stand_in_id(message: Message) -> str:
    """Return an id made of the content, so that a redelivery is a duplicate.

    Never the foreign id itself: the proper message of that id may still come, and must not look like a duplicate.
    """
    digest = hashlib.sha256()
    identity = f"{message.message_id!r} {message.type!r} {message.routing_key!r}"
    for part in (identity.encode(errors="replace"), _headers_json(message.headers).encode(), message.body):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return "sha256:" + base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")


def _headers_json(headers: object) -> str:
    """Headers as JSON text that PostgreSQL can store: NUL is the one character it cannot."""
    try:
        text = orjson.dumps(headers, default=_unusual, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError):
        # Lone surrogates, integers beyond 64 bit, endless nesting: keep what a person can read.
        text = orjson.dumps({"undecodable": ascii(headers)[:10_000]}).decode()
    return text


def _unusual(value: object) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode()
    return str(value)
