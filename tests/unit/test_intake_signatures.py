"""Signatures of senders: every published vector, several secrets, and what must never pass."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from outbox.intake.problems import Problem, RefusedRequest
from outbox.intake.received import Received
from outbox.intake.scheme import MAX_SIGNATURES, Scheme
from outbox.intake.scheme_hmac import SHOPIFY_SIGNATURE, Encoding, Hmac
from outbox.intake.scheme_hubspot import HubSpot
from outbox.intake.scheme_standard import StandardWebhooks
from outbox.intake.scheme_stripe import Stripe
from outbox.intake.timestamps import TimeUnit
from outbox.model.standard_webhooks import key_of
from tests.kit.intake_requests import (
    HUBSPOT_SECRET,
    SHOPIFY_SECRET,
    STANDARD_SECRET,
    STRIPE_SECRET,
    hubspot_headers,
    mac,
    received,
    sha256_hex,
    shopify_headers,
    standard_headers,
    stripe_headers,
)

STANDARD = StandardWebhooks([key_of(STANDARD_SECRET)])
STRIPE = Stripe([STRIPE_SECRET.encode()])
SHOPIFY = Hmac([SHOPIFY_SECRET.encode()], SHOPIFY_SIGNATURE, encoding=Encoding.BASE64)
HUBSPOT = HubSpot([HUBSPOT_SECRET.encode()])
GITHUB = Hmac([b"It's a Secret to Everybody"], "X-Hub-Signature-256", prefix="sha256=")
SLACK = Hmac(
    [b"8f742231b10e8888abcd99yyyzzz85a5"],
    "X-Slack-Signature",
    prefix="v0=",
    signed="v0:{timestamp}:{body}",
    timestamp_header="X-Slack-Request-Timestamp",
)
HUBSPOT_BODY = b"{'example_field':'example_value'}"
STRIPE_BODY = b'{"id":"evt_test_webhook","object":"event"}'
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&"
    b"channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url="
    b"https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&"
    b"trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)

# Scheme, body, headers as published (or recomputed by the published algorithm), and the time that was signed.
VECTORS: list[tuple[Scheme, bytes, dict[str, str], float | None]] = [
    (
        STANDARD,
        b'{"test": 2432232314}',
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        1614265330.0,
    ),
    (
        HUBSPOT,
        HUBSPOT_BODY,
        {
            "X-HubSpot-Signature-v3": "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y=",
            "X-HubSpot-Request-Timestamp": "1693657560000",
        },
        1693657560.0,
    ),
    (
        STRIPE,
        STRIPE_BODY,
        {"Stripe-Signature": "t=1700000000,v1=d95c6b7477fbd7e9f90b1b0ef5f9c7ac25abca5382460e0d988c2b2a5b71b990"},
        1700000000.0,
    ),
    (
        SHOPIFY,
        b'{"id":820982911946154508}',
        {"X-Shopify-Hmac-Sha256": "qBvrsZF7RfB1iS6BX6IHqJTp5L911P7intnPeTPsH0I="},
        None,
    ),
    (
        GITHUB,
        b"Hello, World!",
        {"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        None,
    ),
    (
        SLACK,
        SLACK_BODY,
        {
            "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            "X-Slack-Request-Timestamp": "1531420618",
        },
        1531420618.0,
    ),
]
NAMES = ["standard", "hubspot", "stripe", "shopify", "github", "slack"]
# The same, signed here with the algorithm of each sender.
SIGNERS: list[tuple[Scheme, Callable[[bytes], dict[str, str]], str]] = [
    (STANDARD, standard_headers, "webhook-signature"),
    (HUBSPOT, hubspot_headers, "X-HubSpot-Signature-v3"),
    (STRIPE, stripe_headers, "Stripe-Signature"),
    (SHOPIFY, shopify_headers, "X-Shopify-Hmac-Sha256"),
]


def refusal(scheme: Scheme, request: Received) -> Problem:
    with pytest.raises(RefusedRequest) as caught:
        scheme.verify(request)
    return caught.value.problem


@pytest.mark.parametrize(("scheme", "body", "headers", "at"), VECTORS, ids=NAMES)
def test_every_published_vector_is_verified(
    scheme: Scheme, body: bytes, headers: dict[str, str], at: float | None
) -> None:
    assert scheme.verify(received(body, headers)) == at


@pytest.mark.parametrize(("scheme", "body", "headers", "at"), VECTORS, ids=NAMES)
def test_a_vector_over_any_other_byte_is_refused(
    scheme: Scheme, body: bytes, headers: dict[str, str], at: float | None
) -> None:
    assert scheme.verify(received(body, headers)) == at
    for place in range(len(body)):
        changed = bytes([*body[:place], body[place] ^ 1, *body[place + 1 :]])
        assert refusal(scheme, received(changed, headers)) is Problem.SIGNATURE_INVALID


def test_what_the_reference_library_signs_is_verified() -> None:
    body = '{"ä": 1.10}'
    at = datetime.fromtimestamp(1614265330, tz=UTC)
    signature = Webhook(STANDARD_SECRET).sign("msg_1", at, body)
    headers = {"Webhook-Id": "msg_1", "Webhook-Timestamp": "1614265330", "Webhook-Signature": signature}

    assert STANDARD.verify(received(body.encode(), headers)) == 1614265330.0
    assert headers["Webhook-Signature"] == standard_headers(body.encode())["webhook-signature"]


def test_the_plain_hashes_of_hubspot_are_what_it_published_and_prove_nothing_here() -> None:
    secret, url = HUBSPOT_SECRET.encode(), b"https://www.example.com/webhook_uri"
    v1 = sha256_hex(secret, HUBSPOT_BODY)
    v2 = sha256_hex(secret, b"POST", url, HUBSPOT_BODY)
    assert v1 == "69fc6631a867edd4f9e9e627fc5c1148e3fbdd8b21837b6d2b8901c1fa57f750"
    assert v2 == "4fe4e3a7d3cf09db53be39d0a58130e2aaba074ec123a9e355b876a689a1c383"
    for version, signature in (("v1", v1), ("v2", v2)):
        headers = {"X-HubSpot-Signature": signature, "X-HubSpot-Signature-Version": version}
        assert refusal(HUBSPOT, received(HUBSPOT_BODY, headers)) is Problem.SIGNATURE_MISSING


@pytest.mark.parametrize(("scheme", "sign", "_"), SIGNERS, ids=NAMES[:4])
def test_each_of_several_secrets_is_taken_and_no_other(
    scheme: Scheme, sign: Callable[..., dict[str, str]], _: str
) -> None:
    body = b"{}"
    rotating = replace(scheme, keys=[b"newer key of them", *scheme.keys])  # type: ignore[type-var, attr-defined]
    assert rotating.verify(received(body, sign(body))) == scheme.verify(received(body, sign(body)))
    other = replace(scheme, keys=[b"newer key of them"])  # type: ignore[type-var]
    assert refusal(other, received(body, sign(body))) is Problem.SIGNATURE_INVALID


@pytest.mark.parametrize(("scheme", "sign", "header"), SIGNERS, ids=NAMES[:4])
def test_a_signature_that_is_missing_empty_foreign_or_there_twice_is_refused(
    scheme: Scheme, sign: Callable[[bytes], dict[str, str]], header: str
) -> None:
    body = b"{}"
    good = sign(body)
    others = {name: value for name, value in good.items() if name != header}
    assert refusal(scheme, received(body, others)) is Problem.SIGNATURE_MISSING
    assert refusal(scheme, received(body, others | {header: ""})) is Problem.SIGNATURE_MISSING
    strange = good[header][:-8] + "ÄÖ\udcff\x00€ß"
    assert refusal(scheme, received(body, others | {header: strange})) is Problem.SIGNATURE_INVALID
    twice = [*good.items(), (header.upper(), good[header])]
    assert refusal(scheme, received(body, twice)) is Problem.HEADER_REPEATED


@pytest.mark.parametrize(
    "text", ["", " ", "NaN", "nan", "inf", "-1", "+1614265330", "1.6e9", "1614265330.5", "0x60", "٣٤٥", "01614265330",
             "1_614_265_330", "9" * 400, "1614265330000", "1614265330\x00", "1614265330 1"]
)  # fmt: skip
def test_a_timestamp_that_is_no_plain_number_of_seconds_is_refused_though_it_is_signed(text: str) -> None:
    body = b"{}"
    for scheme, headers in ((STANDARD, standard_headers(body, at=text)), (STRIPE, stripe_headers(body, at=text))):
        assert refusal(scheme, received(body, headers)) in {Problem.TIMESTAMP_MISSING, Problem.TIMESTAMP_MALFORMED}


@pytest.mark.parametrize("text", ["1693657560", "-1693657560000", "1.69e12", "NaN", "1693657560000.0", "9" * 30])
def test_a_timestamp_that_is_no_plain_number_of_milliseconds_is_refused_though_it_is_signed(text: str) -> None:
    assert refusal(HUBSPOT, received(b"[]", hubspot_headers(b"[]", at=text))) is Problem.TIMESTAMP_MALFORMED


def test_hubspot_signs_the_public_address_with_some_characters_decoded() -> None:
    url = "https://hooks.example.com/intake/crm?redirect=https%3A%2F%2Fa%3fb%40c%21&x=%20%C3%A4"
    signed = "https://hooks.example.com/intake/crm?redirect=https://a?b@c!&x=%20%C3%A4"
    headers = hubspot_headers(b"[]", url=signed)
    assert HUBSPOT.verify(received(b"[]", headers, url=url)) == 1693657560.0
    assert refusal(HUBSPOT, received(b"[]", headers, url=url + "&y=1")) is Problem.SIGNATURE_INVALID


def test_other_versions_in_a_list_are_passed_over_and_a_long_list_is_refused() -> None:
    body = b"{}"
    good = standard_headers(body)
    value = good["webhook-signature"]
    listed = good | {"webhook-signature": f"v1a,QUJD v1,QUJD {value}"}
    assert STANDARD.verify(received(body, listed)) == 1614265330.0
    only_other = good | {"webhook-signature": value.replace("v1,", "v1a,")}
    assert refusal(STANDARD, received(body, only_other)) is Problem.SIGNATURE_MALFORMED
    many = good | {"webhook-signature": " ".join([value] * (MAX_SIGNATURES + 1))}
    assert refusal(STANDARD, received(body, many)) is Problem.SIGNATURE_MALFORMED
    two_times = stripe_headers(body)["Stripe-Signature"] + ",t=1"
    assert refusal(STRIPE, received(body, {"Stripe-Signature": two_times})) is Problem.TIMESTAMP_MALFORMED
    test_mode = stripe_headers(body)["Stripe-Signature"].replace("v1=", "v0=")
    assert refusal(STRIPE, received(body, {"Stripe-Signature": test_mode})) is Problem.SIGNATURE_MALFORMED


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_generic_hmac_signs_what_the_settings_say(algorithm: str, encoding: Encoding) -> None:
    scheme = Hmac(
        [b"key"],
        "X-Signature",
        algorithm,
        encoding,
        signed="{method} {url} {timestamp}\n{body}",
        timestamp_header="X-Time",
        timestamp_unit=TimeUnit.MILLISECONDS,
    )
    url, at, body = "https://h.example.com/intake/a", "1693657560500", b"\xff\x00{body}"
    digest = mac(b"key", f"POST {url} {at}\n".encode(), body, algorithm=algorithm)
    written = {
        Encoding.HEX: digest.hex().upper(),
        Encoding.BASE64: base64.b64encode(digest).decode(),
        Encoding.BASE64URL: base64.urlsafe_b64encode(digest).decode(),
    }[encoding]
    assert scheme.verify(received(body, {"x-signature": written, "x-time": at}, url=url)) == 1693657560.5
