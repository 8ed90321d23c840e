"""One source as the settings describe it, and the whole decision about a request of it: from bytes to drafts. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import orjson

from outbox.intake.decode import check_content_type, decoded
from outbox.intake.document import Document, elements, read_document
from outbox.intake.problems import Problem, RefusedRequest
from outbox.intake.received import Headers, Received
from outbox.intake.scheme import Scheme
from outbox.intake.values import Origin, TypeRule, key_of, text_of
from outbox.model.intake import MAX_NAME_BYTES, Draft

# Says what is wrong with a payload by the contract of its type and version; None: nothing, or there is no contract.
ContractCheck: TypeAlias = Callable[[str, int, bytes], str | None]

_HASH_PREFIX = "sha256:"
_TRACE = ("traceparent", "tracestate")
_MAX_TRACE_CHARACTERS = 512


@dataclass(frozen=True, slots=True)
class SourceRules:
    """What a source sends, and how.

    ``id``: what tells its events apart; without it, or where it says nothing, a hash of the payload. ``is_list``: a
    body is a list of events.
    """

    name: str
    scheme: Scheme
    type: TypeRule
    key: Origin | None
    id: Origin | None
    is_list: bool
    version: int
    max_body_bytes: int
    content_types: Collection[str]
    window_seconds: float
    remember_seconds: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a request comes to. ``refusal``: the first event of a list that cannot be taken; the others can."""

    drafts: Sequence[Draft]
    refusal: RefusedRequest | None = None


def prepare(rules: SourceRules, received: Received, check: ContractCheck) -> Prepared:
    """Verify a request, then read it, then make drafts of it.

    Raises:
        RefusedRequest: nothing of it can be taken.
    """
    signed_at_seconds = rules.scheme.verify(received)
    check_content_type(received.headers, rules.content_types)
    document = read_document(decoded(received.body, received.headers, rules.max_body_bytes))
    if not rules.is_list:
        return Prepared([_draft(rules, received.headers, document, signed_at_seconds, check)])
    drafts, refusal = [], None
    for number, element in enumerate(elements(document)):
        try:
            drafts.append(_draft(rules, received.headers, element, signed_at_seconds, check))
        except RefusedRequest as refused:
            refusal = refusal or RefusedRequest(refused.problem, f"event {number} of the list: {refused.detail}")
    if refusal is not None and not drafts:
        raise refusal
    return Prepared(drafts, refusal)


def _draft(
    rules: SourceRules, headers: Headers, event: Document, signed_at_seconds: float | None, check: ContractCheck
) -> Draft:
    payload = event.text.encode()
    event_type = rules.type.type_of(headers, event.value)
    key = key_of(rules.key, headers, event.value)
    violation = check(event_type, rules.version, payload)
    if violation is not None:
        raise RefusedRequest(Problem.CONTRACT_VIOLATED, f"{event_type}@{rules.version}: {violation}")
    body_sha256 = hashlib.sha256(payload).digest()
    told = None if rules.id is None else text_of(rules.id, headers, event.value, Problem.ID_UNUSABLE)
    name = name_of(told) if told else _HASH_PREFIX + hashlib.sha256(event_type.encode() + b"\0" + payload).hexdigest()
    return Draft(
        rules.name,
        name,
        body_sha256,
        event_type,
        rules.version,
        key,
        event.text,
        event_headers(rules.name, name, headers),
        signed_at_seconds,
        rules.window_seconds,
        rules.remember_seconds,
    )


def name_of(told: str) -> str:
    """Return the name under which an id is remembered: itself, or a hash where the table does not take it."""
    is_plain = told.isprintable() and not told.startswith(_HASH_PREFIX)
    if is_plain and len(told.encode("utf-8", "surrogatepass")) <= MAX_NAME_BYTES:
        return told
    return _HASH_PREFIX + hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


def event_headers(source: str, name: str, headers: Headers) -> str:
    """Return the event's own headers as JSON: where it came from, and the trace that it is part of."""
    values = {"intake_source": source, "intake_id": name}
    for header in _TRACE:
        value = headers.get(header)
        if value and value.isascii() and value.isprintable() and len(value) <= _MAX_TRACE_CHARACTERS:
            values[header] = value
    return orjson.dumps(values).decode()
