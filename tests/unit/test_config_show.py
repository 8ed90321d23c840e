"""What is shown of settings: everything but the secrets, in a form that can be loaded again."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from outbox.config.quantities import bytes_text, seconds_text
from outbox.config.show import effective, effective_yaml, masked_url
from outbox.model.units import parse_bytes, parse_seconds
from tests.unit.config_cases import COMPLETE, URLS, settings_of


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://relay:pw@db/erp", "postgresql://relay:***@db/erp"),
        ("postgresql://relay@db/erp", "postgresql://relay@db/erp"),
        (
            "postgresql://db/erp?user=u&password=pw&sslmode=require",
            "postgresql://db/erp?user=u&password=***&sslmode=require",
        ),
        ("postgresql://u:p@ss/w?rd@db/erp", "postgresql://u:***@db/erp"),
        ("postgresql://u:a:b@db/erp?sslpassword=x", "postgresql://u:***@db/erp?sslpassword=***"),
        ("postgresql:///erp?host=/run/postgresql", "postgresql:///erp?host=/run/postgresql"),
        ("amqps://u:pw@[::1]:5671/%2f?heartbeat=3", "amqps://u:***@[::1]:5671/%2f?heartbeat=3"),
        ("https://t0ken@crm.example.com/api?api_key=k#x", "https://***@crm.example.com/api?api_key=***#x"),
        ("no address", "no address"),
    ],
)
def test_an_address_is_shown_without_what_opens_it(url: str, masked: str) -> None:
    assert masked_url(url) == masked


def test_secrets_are_masked_wherever_they_are(tmp_path: Path) -> None:
    settings = settings_of(COMPLETE, tmp_path, {**URLS, "CRM_TOKEN": "t0ken"})
    text = effective_yaml(settings)
    for secret in ("pg-password", "mq-password", "t0ken", "s3cret-password"):
        assert secret not in text
    assert yaml.safe_load(text) == effective(settings)
    shown = yaml.safe_load(text)
    assert shown["postgres"]["url"] == "postgresql://relay:***@db/erp"
    assert shown["rabbitmq"]["url"] == "amqp://relay:***@mq/"
    assert shown["connections"]["crm"]["bearer"] == "***"
    assert shown["flows"]["orders-to-crm"]["adapter"] == {
        "use": "rest",
        "connection": "crm",
        "method": "POST",
        "path": "/deals",
        "window": "1h",
        "login": {"user": "sidecar", "password": "***"},
        "copies": 1,
        "headers": {},
    }
    assert shown["flows"]["orders-to-crm"]["retry"] == {"attempts": 3, "first": "250ms", "max": "5m", "patience": "8h"}


def test_a_header_that_is_called_like_a_credential_is_masked(tmp_path: Path) -> None:
    text = COMPLETE.replace("path: /deals", "path: /deals\n      headers: {X-Api-Key: s3cret-key, X-Tenant: erp}")
    shown = effective_yaml(settings_of(text, tmp_path, {**URLS, "CRM_TOKEN": "t0ken"}))
    assert "s3cret-key" not in shown
    assert "X-Tenant: erp" in shown


def test_what_is_shown_gives_the_same_settings_when_it_is_loaded(tmp_path: Path) -> None:
    text = COMPLETE.replace("${CRM_TOKEN}", "'***'").replace("s3cret-password", "'***'")
    text = text.replace("won", "{a: 'on', b: '010', c: '$${X}', d: [1.5, null, true, '2026-01-01', '1e3', '']}")
    urls = {"OUTBOX_PG_URL": "postgresql://relay@db/erp", "OUTBOX_AMQP_URL": "amqp://mq/"}
    settings = settings_of(text, tmp_path, urls)
    assert settings.flows["orders-to-crm"].mapping[1].default["c"] == "${X}"
    assert settings_of(effective_yaml(settings), tmp_path, urls) == settings


@given(st.integers(min_value=0, max_value=10**9))
def test_a_duration_is_written_as_it_is_read(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_seconds(seconds_text(seconds)) == pytest.approx(seconds, rel=1e-12, abs=0)


@given(st.integers(min_value=0, max_value=10**15 - 1))
def test_a_size_is_written_as_it_is_read(size_bytes: int) -> None:
    assert parse_bytes(bytes_text(size_bytes)) == size_bytes
