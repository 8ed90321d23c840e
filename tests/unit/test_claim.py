"""The claim check and the patterns of types, without servers."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.config.load import load
from outbox.config.problems import ConfigProblems
from outbox.config.settings import Settings
from outbox.config.show import effective
from outbox.inbox.arrival import arrival_of
from outbox.model.claim import CLAIM_HEADERS, Claim, parse_claim
from outbox.model.envelope import Envelope, Message, own_headers
from outbox.model.unrouted import matches

MIB = 1024 * 1024
URLS = {"OUTBOX_PG_URL": "postgresql://relay@db/erp", "OUTBOX_AMQP_URL": "amqp://relay@mq/"}
ID = "0b5c1f3e-1111-4222-8333-444455556666"


@given(st.integers(0, 2**63 - 1), st.uuids())
def test_a_reference_reads_back_as_what_it_was_written_from(sequence: int, event_id: uuid.UUID) -> None:
    claim = Claim(sequence, str(event_id))
    assert parse_claim(claim.text()) == claim


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        "",
        "7",
        f"7/{ID[:-1]}",
        f"-7/{ID}",
        f"{2**63}/{ID}",
        f"7/{ID.upper()}",
        f"7/{ID}/x",
        f"\u0667/{ID}",
        f" 7/{ID}",
    ],
)
def test_what_is_no_reference_is_refused_and_never_asked_for(text: object) -> None:
    assert parse_claim(text) is None
    if text is not None:
        arrival = arrival_of(Message(1, b"", "t", "m", "t", {"sequence": 7, "x-outbox-claim-check": text}))
        assert "x-outbox-claim-check is not a sequence and an event id" in (arrival.refusal or "")


def test_a_claim_check_arrives_without_a_body_of_its_own() -> None:
    headers = {"sequence": 7, "x-outbox-claim-check": f"7/{ID}"}
    assert arrival_of(Message(1, b"", "t", ID, "t", headers)).body is None
    assert arrival_of(Message(1, b"", "t", ID, "t", {"sequence": 7})).body == b""


def test_an_application_cannot_make_an_event_look_like_a_claim_check() -> None:
    spoofed = dict.fromkeys(CLAIM_HEADERS, f"1/{ID}")
    event = Envelope(ID, 7, "t", 1, None, b"{}", 0, spoofed)
    assert not own_headers(event).keys() & set(CLAIM_HEADERS)
    assert own_headers(event.claimed())["x-outbox-claim-check"] == f"7/{ID}"


def _settings(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "outbox.yaml"
    file.write_text(text, encoding="utf-8")
    return load(path=file, environ=URLS, adapters={})


@pytest.mark.parametrize(
    ("text", "read_up_to", "claimed_up_to"),
    [
        ("{}", 15 * MIB, 64 * MIB),
        ("relay: {claim_check: {above: 1MiB}}", MIB, 64 * MIB),
        ("relay: {claim_check: {enabled: false}}", 64 * MIB, 0),
        ("rabbitmq: {max_payload_bytes: 1MiB}", MIB, MIB),
    ],
)
def test_the_settings_say_what_travels_whole_and_what_as_a_reference(
    tmp_path: Path, text: str, read_up_to: int, claimed_up_to: int
) -> None:
    limits = _settings(tmp_path, text).page_limits()
    assert (limits.max_payload_bytes, limits.max_claimed_bytes) == (read_up_to, claimed_up_to)


def test_the_token_for_payloads_is_long_enough_to_be_one_and_never_shown(tmp_path: Path) -> None:
    token = "0123456789abcdef"
    assert token not in str(effective(_settings(tmp_path, f"http: {{payload_token: '{token}'}}")))
    for bad in ("short", "with a space in the middle", "ünïcödë-ünïcödë-ünïcödë"):
        with pytest.raises(ConfigProblems, match="at least 16 ASCII characters") as caught:
            _settings(tmp_path, f"http: {{payload_token: '{bad}'}}")
        assert bad not in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("#", "a.b.c", True),
        ("order.*", "order.confirmed", True),
        ("order.*", "order", False),
        ("order.*", "order.a.b", False),
        ("order.#", "order", True),
        ("order.#", "order.a.b", True),
        ("#.b.#", "a.b.c", True),
        ("#.b", "b", True),
        ("#.b", "a.c", False),
        ("*.*", "a.b", True),
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("#.#.#.#", "x", True),
    ],
)
def test_a_pattern_means_the_types_that_a_topic_exchange_would_route(pattern: str, key: str, expected: bool) -> None:
    assert matches(pattern, key) is expected
