"""Frames as the client library itself reads them: nothing is lost, cut or moved to another field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from outbox.model.envelope import Envelope, HeaderValue, own_headers, shared_headers, wire_headers
from outbox.model.errors import Unpublishable
from outbox.rabbitmq.wire import FrameEncoder, Outgoing, Shared

SMALLEST_FRAME_MAX = 4096
# A frame's own bytes: 7 before its content and 1 behind.
OVERHEAD = 8

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
shorts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
values = texts | st.booleans() | st.integers(-(2**63), 2**63 - 1)


def decoded(data: bytes) -> tuple[commands.Basic.Publish, ContentHeader, bytes, list[int]]:
    """Return method, header, body and the sizes of the body's frames."""
    frames, sizes = [], []
    while data:
        size, channel, one = frame.unmarshal(data)
        assert channel == 7
        frames.append(one)
        sizes.append(size)
        data = data[size:]
    method, header, *bodies = frames
    assert isinstance(method, commands.Basic.Publish)
    assert isinstance(header, ContentHeader)
    assert all(isinstance(part, ContentBody) for part in bodies)
    return method, header, b"".join(part.value for part in bodies), sizes[2:]


@given(
    exchange=shorts,
    routing_key=shorts,
    message_id=shorts,
    message_type=shorts,
    headers=st.dictionaries(names, values, max_size=6),
    body=st.binary(max_size=200),
    timestamp=st.none() | st.integers(0, 4_000_000_000),
)
def test_the_library_reads_what_was_encoded(
    exchange: str,
    routing_key: str,
    message_id: str,
    message_type: str,
    headers: dict[str, HeaderValue],
    body: bytes,
    timestamp: int | None,
) -> None:
    message = Outgoing(exchange, routing_key, message_id, message_type, headers, body, timestamp=timestamp)
    method, header, decoded_body, _ = decoded(FrameEncoder(7, 131_072).frames(message))
    properties = header.properties
    assert (method.exchange, method.routing_key, method.mandatory) == (exchange, routing_key, True)
    assert (properties.message_id, properties.message_type) == (message_id, message_type)
    assert (properties.content_type, properties.app_id, properties.delivery_mode) == ("application/json", "outbox", 2)
    assert (properties.timestamp is None) == (timestamp is None)
    if properties.timestamp is not None:
        assert int(properties.timestamp.timestamp()) == timestamp
    assert properties.headers == headers
    assert (decoded_body, header.body_size) == (body, len(body))


@pytest.mark.parametrize("beyond", [-1, 0, 1, SMALLEST_FRAME_MAX, 3 * SMALLEST_FRAME_MAX + 1])
def test_a_body_is_cut_into_frames_that_the_connection_takes(beyond: int) -> None:
    body = bytes(range(256)) * 100
    body = body[: SMALLEST_FRAME_MAX - OVERHEAD + beyond]
    message = Outgoing("x", "k", "id", "t", {}, body)
    _, _, whole, sizes = decoded(FrameEncoder(7, SMALLEST_FRAME_MAX).frames(message))
    assert whole == body
    assert max(sizes) <= SMALLEST_FRAME_MAX
    assert len(sizes) == -(-len(body) // (SMALLEST_FRAME_MAX - OVERHEAD))


def test_headers_that_do_not_fit_into_a_frame_are_refused_before_anything_is_sent() -> None:
    encoder = FrameEncoder(7, SMALLEST_FRAME_MAX)
    with pytest.raises(Unpublishable, match=r"headers have \d+ bytes.*4096"):
        encoder.frames(Outgoing("x", "k", "id", "t", {"note": "x" * SMALLEST_FRAME_MAX}, b""))
    assert encoder.frames(Outgoing("x", "k", "id", "t", {"note": "x" * 3000}, b""))


@pytest.mark.parametrize("field", ["exchange", "routing_key", "message_id", "type"])
def test_a_text_too_long_for_its_field_is_refused_before_anything_is_sent(field: str) -> None:
    message = Outgoing("x", "k", "id", "t", {}, b"")._replace(**{field: "ü" * 128})
    with pytest.raises(Unpublishable, match="256 bytes"):
        FrameEncoder(7, 0).frames(message)


@given(
    event_type=shorts,
    key=st.none() | shorts,
    version=st.integers(1, 2**31 - 1),
    headers=st.dictionaries(names | st.sampled_from(["version", "key", "cloudEvents_id", "traceparent"]), values),
)
def test_shared_and_own_headers_together_are_the_headers_of_the_contract(
    event_type: str, key: str | None, version: int, headers: dict[str, HeaderValue]
) -> None:
    event = Envelope("id-1", 1, event_type, version, key, b"{}", 0, headers)
    shared = shared_headers(event_type, version, source="/erp")
    assert not shared.keys() & own_headers(event).keys()
    message = Outgoing("x", "k", "id", "t", own_headers(event), b"", Shared(shared))
    _, header, _, _ = decoded(FrameEncoder(7, 0).frames(message))
    assert header.properties.headers == message.all_headers() == wire_headers(event, source="/erp")
