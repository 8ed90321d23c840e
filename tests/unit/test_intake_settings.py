"""Settings of the intake: every problem at once, in words, and no secret in any of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.config_cases import problems_of, settings_of

SECRET = "0123456789abcdef0123"
STANDARD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def source(**changes: str) -> str:
    parts = {"scheme": "hmac", "secrets": f"[{SECRET}]", "type": "{constant: a.b}", "hmac": "{header: X-Sig}"} | changes
    return (
        "intake: {sources: {shop: {" + ", ".join(f"{name}: {value}" for name, value in parts.items() if value) + "}}}"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (source(secrets="[short]"), "secrets: each must have at least 16 characters"),
        (source(secrets="[]"), "secrets: must not be empty"),
        (source(scheme="stripe"), "hmac: is needed with the scheme hmac, and only there"),
        (source(hmac=""), "hmac: is needed with the scheme hmac, and only there"),
        (source(scheme="standard-webhooks", hmac=""), "secrets: each must be whsec_ and the base64 of 24 to 64 random"),
        (source(scheme="shopify", hmac="", replay_window="5m"), "has no meaning here: this scheme signs no time"),
        (source(scheme="hubspot", hmac=""), "public_url: required, because the source shop signs the address"),
        (source(hmac="{header: X, signed: '{url}{body}'}"), "public_url: required, because the source shop signs"),
        (source(hmac="{header: X, signed: '{bdy}'}"), "signed='{bdy}': must have {body}, and no other than"),
        (source(hmac="{header: X, signed: '{timestamp}{body}'}"), "{timestamp} and timestamp_header belong together"),
        (source(hmac="{header: X, timestamp_header: T}"), "{timestamp} and timestamp_header belong together"),
        (
            source(hmac="{header: X, signed: '{timestamp}{body}', timestamp_header: T}", remember="10m"),
            "remember=10m: must be greater than 2 x replay_window (5m), for example 15m",
        ),
        (source(hmac="{header: 'X Y'}"), "header='X Y': must be the name of a header"),
        (source(type="{}"), "type.constant: set constant, header, or path"),
        (source(type="{constant: a, path: b}"), "set constant, header, or path"),
        (source(type="{constant: 'a b'}"), "must be words of letters, digits"),
        (source(type="{constant: a, types: {b: c}}"), "must not be set beside constant"),
        (source(key="{path: 'order-id'}"), 'written in double quotes, for example "order-id"'),
        (source(key="{path: a, headers: [B]}"), "set headers, or path"),
        (source(max_body="1TiB"), "max_body=1TiB"),
        (source(rate="100"), "rate=100"),
        (source(content_types="[JSON]"), "must be like application/json, in small letters"),
        ("intake: {commands: {clients: {app: {tokens: [short]}}}}", "tokens: each must have at least 16 characters"),
        (f"intake: {{commands: {{clients: {{app: {{tokens: [{SECRET}], types: [a.b]}}}}}}}}", "has no a.b, which"),
        ("intake: {prot: 1}", "unknown key"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_place_with_what_is_allowed(text: str, problem: str, tmp_path: Path) -> None:
    (told,) = problems_of(text, tmp_path)
    assert problem in told
    assert told.startswith("outbox.yaml:1:")
    assert SECRET not in told


def test_every_scheme_can_be_set_with_several_secrets_from_files(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(STANDARD, encoding="utf-8")
    for scheme in ("standard-webhooks", "shopify", "stripe", "hubspot"):
        text = source(scheme=scheme, hmac="", secrets=f"['file:{file}', {STANDARD}]", type="{path: data.type}")
        settings = settings_of(text.replace("intake: {", "intake: {public_url: 'https://h.example.com', "), tmp_path)
        secrets = settings.intake.sources["shop"].secrets
        assert [secret.get_secret_value() for secret in secrets] == [STANDARD, STANDARD]
        assert STANDARD not in repr(settings)


def test_without_sources_and_clients_there_is_no_intake(tmp_path: Path) -> None:
    assert not settings_of("{}", tmp_path).intake.is_active
    assert not settings_of("intake: {public_url: null}", tmp_path).intake.is_active
    assert settings_of(source(), tmp_path).intake.is_active
