"""Events as bytes by filling in a form: the same bytes as from the encoder that knows every message."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.model.claim import EVENT_CONTENT_TYPE
from outbox.model.envelope import Envelope, HeaderValue, shared_headers
from outbox.model.errors import Unpublishable
from outbox.rabbitmq.messages import event_message
from outbox.rabbitmq.topology import EVENTS
from outbox.rabbitmq.wire import FrameEncoder, Shared, Stencil

SMALL_FRAME_MAX = 4096

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30) | st.sampled_from(
    ["key", "sequence", "version", "traceparent", "tracestate", "cloudEvents_id", "cloudEvents_partitionkey"]
)
values = texts | st.booleans() | st.integers(-(2**63), 2**63 - 1)
traces = st.sampled_from(["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "none of these"])
headers_of = st.dictionaries(names, values, max_size=5) | st.builds(lambda trace: {"traceparent": trace}, traces)


def event(
    *,
    message_id: str = "9b2f5f1e-2f6d-4c3a-8a60-6f0f5b0c7d11",
    sequence: int = 1,
    event_type: str = "order.confirmed",
    key: str | None = "SO-1",
    payload: bytes = b"{}",
    headers: dict[str, HeaderValue] | None = None,
    claimed_bytes: int | None = None,
) -> Envelope:
    return Envelope(message_id, sequence, event_type, 3, key, payload, 1_700_000_000, headers or {}, claimed_bytes)


def stencil(like: Envelope, encoder: FrameEncoder) -> tuple[Stencil, Shared]:
    shared = Shared(shared_headers(like.type, like.version, source="/erp"))
    return Stencil(encoder, EVENTS, like.type, EVENT_CONTENT_TYPE, shared), shared


@given(
    identity=st.uuids(),
    sequence=st.integers(1, 2**63 - 1),
    event_type=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
    keys=st.lists(st.none() | texts, min_size=1, max_size=4),
    payload=st.binary(min_size=1, max_size=SMALL_FRAME_MAX + 10),
    headers=headers_of,
)
def test_a_filled_stencil_is_what_the_encoder_makes_of_the_event(
    identity: UUID,
    sequence: int,
    event_type: str,
    keys: list[str | None],
    payload: bytes,
    headers: dict[str, HeaderValue],
) -> None:
    encoder = FrameEncoder(7, SMALL_FRAME_MAX)
    form, shared = stencil(event(event_type=event_type), encoder)
    for key in keys:
        one = event(
            message_id=str(identity),
            sequence=sequence,
            event_type=event_type,
            key=key,
            payload=payload,
            headers=headers,
        )
        filled = form.frames(one)
        if filled is None:
            assert len(payload) > SMALL_FRAME_MAX - 8
        else:
            assert filled == encoder.frames(event_message(one, shared))


def test_an_everyday_event_fits_the_form_up_to_the_last_byte_of_a_frame() -> None:
    encoder = FrameEncoder(1, SMALL_FRAME_MAX)
    form, shared = stencil(event(), encoder)
    fitting = event(payload=b"x" * (SMALL_FRAME_MAX - 8))
    assert form.frames(fitting) == encoder.frames(event_message(fitting, shared))
    assert form.frames(event(payload=b"x" * (SMALL_FRAME_MAX - 7))) is None


def test_what_does_not_fit_the_form_is_left_to_the_encoder() -> None:
    encoder = FrameEncoder(1, SMALL_FRAME_MAX)
    form, shared = stencil(event(), encoder)
    assert form.frames(event(claimed_bytes=10, payload=b"")) is None
    assert form.frames(event(payload=b"")) is None
    assert form.frames(event(message_id="not a uuid")) is None
    assert form.frames(event(message_id="ü" * 36)) is None, "36 characters, but more bytes"
    overfull = event(headers={"note": "x" * SMALL_FRAME_MAX})
    assert form.frames(overfull) is None
    with pytest.raises(Unpublishable, match="frame_max"):
        encoder.frames(event_message(overfull, shared))


def test_more_lengths_of_keys_than_are_remembered_do_no_harm() -> None:
    encoder = FrameEncoder(1, 0)
    form, shared = stencil(event(), encoder)
    for length in [*range(600), *range(0, 600, 7)]:
        one = event(key="k" * length)
        assert form.frames(one) == encoder.frames(event_message(one, shared))
