"""The envelope: what the headers of a message are, that they survive the wire, and what is refused before it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import decode, encode

from outbox.model.envelope import (
    HEADER_NAME_MAX_BYTES,
    SHORT_STRING_MAX_BYTES,
    Envelope,
    HeaderValue,
    check_publishable,
    is_traceparent,
    wire_headers,
)
from outbox.model.errors import Unpublishable

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OURS = {
    "sequence": 7,
    "version": 2,
    "key": "SO-1",
    "cloudEvents_specversion": "1.0",
    "cloudEvents_id": "m-1",
    "cloudEvents_source": "/outbox",
    "cloudEvents_type": "order.confirmed",
    "cloudEvents_partitionkey": "SO-1",
}

# PostgreSQL's text and orjson leave no lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
names = texts.filter(lambda name: 0 < len(name.encode()) <= HEADER_NAME_MAX_BYTES and name not in {"CC", "BCC"})
values: st.SearchStrategy[HeaderValue] = st.one_of(texts, st.booleans(), st.integers(-(2**63), 2**63 - 1))


def envelope(headers: dict[str, HeaderValue] | None = None, **changed: object) -> Envelope:
    fields: dict[str, object] = {
        "message_id": "m-1",
        "sequence": 7,
        "type": "order.confirmed",
        "version": 2,
        "key": "SO-1",
        "payload": b"{}",
        "created_at_epoch_seconds": 0,
        "headers": headers or {},
    }
    return Envelope(**(fields | changed))  # type: ignore[arg-type]


def test_the_headers_are_the_published_contract() -> None:
    headers = wire_headers(envelope({"traceparent": TRACEPARENT, "tracestate": "a=b", "tenant": "x"}), source="/outbox")

    assert headers == OURS | {"traceparent": TRACEPARENT, "tracestate": "a=b", "tenant": "x"}


def test_an_event_without_a_key_has_no_header_for_it_even_if_its_application_sets_one() -> None:
    headers = wire_headers(envelope({"key": "forged"}, key=None), source="/outbox")

    assert headers.keys() == OURS.keys() - {"key", "cloudEvents_partitionkey"}


@given(headers=st.dictionaries(names | st.sampled_from(sorted(OURS)), values, max_size=10))
def test_our_headers_win_over_the_applications_and_the_rest_survives_the_wire(headers: dict[str, HeaderValue]) -> None:
    sent = wire_headers(envelope(headers), source="/outbox")

    assert sent | OURS == sent
    assert {name: value for name, value in headers.items() if name not in OURS and not name.startswith("trace")} == {
        name: sent[name] for name in headers if name not in OURS and not name.startswith("trace")
    }
    _, arrived = decode.field_table(encode.field_table(dict(sent)))
    assert arrived == sent
    assert {name: type(value) for name, value in arrived.items()} == {name: type(value) for name, value in sent.items()}


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        7,
        True,
        TRACEPARENT.upper(),
        f"{TRACEPARENT}\n",
        f" {TRACEPARENT}",
        f"{TRACEPARENT}-more",
        TRACEPARENT.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
    ],
)
def test_a_broken_trace_is_dropped_with_its_state_and_never_repaired(traceparent: HeaderValue) -> None:
    headers = wire_headers(envelope({"traceparent": traceparent, "tracestate": "a=b"}), source="/outbox")

    assert headers == OURS


@given(st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True) | texts)
def test_a_traceparent_is_one_only_by_the_letter(text: str) -> None:
    if is_traceparent(text):
        version, trace_id, span_id, flags = text.split("-")
        assert (len(version), len(trace_id), len(span_id), len(flags)) == (2, 32, 16, 2)
        assert version != "ff"
        assert int(trace_id, 16) * int(span_id, 16) > 0


def _refusal(event: Envelope) -> str | None:
    try:
        check_publishable(event, max_payload_bytes=20)
    except Unpublishable as refusal:
        return refusal.reason
    return None


@given(
    event_type=st.text(max_size=300),
    headers=st.dictionaries(st.text(max_size=140) | st.sampled_from(["CC", "BCC", "cc"]), values, max_size=3),
    payload=st.binary(max_size=40),
)
def test_what_passes_the_check_fits_the_protocol_and_a_refusal_quotes_no_payload(
    event_type: str, headers: dict[str, HeaderValue], payload: bytes
) -> None:
    event = envelope(headers, type=event_type, payload=payload)
    reason = _refusal(event)
    if reason is not None:
        assert re.fullmatch(r"(payload has|type has|header ).*", reason, re.DOTALL)
        return
    assert len(payload) <= 20
    assert 0 < len(event_type.encode("utf-8", "surrogatepass")) <= SHORT_STRING_MAX_BYTES
    assert all(0 < len(name.encode("utf-8", "surrogatepass")) <= HEADER_NAME_MAX_BYTES for name in headers)
    # A message with one of these is copied to other queues, or closes the channel.
    assert not headers.keys() & {"CC", "BCC"}


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (envelope(payload=b"x" * 21), "payload has 21 bytes, the limit rabbitmq.max_payload_bytes is 20"),
        (envelope(type=""), "type has 0 bytes, AMQP takes 1 to 255"),
        (envelope(type="ü" * 128), "type has 256 bytes, AMQP takes 1 to 255"),
        (envelope({"": 1}), "header name '' has 0 bytes, AMQP takes 1 to 128"),
        (envelope({"ü" * 65: 1}), f"header name '{'ü' * 40}' has 130 bytes, AMQP takes 1 to 128"),
        (envelope({"CC": "q"}), "header CC is RabbitMQ's own, to send copies to other queues; use another name"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_a_refusal_says_what_is_too_much(event: Envelope, reason: str) -> None:
    with pytest.raises(Unpublishable) as caught:
        check_publishable(event, max_payload_bytes=20)

    assert caught.value.reason == reason
