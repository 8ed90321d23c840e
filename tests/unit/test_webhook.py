import json
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.answers import Answer
from adapters.http_target import HttpTarget
from adapters.registry import ADAPTERS
from adapters.webhook import WebhookAdapter, classify
from adapters.webhook_settings import WebhookSettings
from outbox.config.load import load
from outbox.config.problems import ConfigProblems
from outbox.config.settings import Settings
from outbox.config.show import effective
from outbox.model.adapter import Adapter, Delivery
from outbox.model.backoff import Schedule
from outbox.model.connection import Connection
from outbox.model.errors import MappingError
from outbox.model.outcome import (
    Applied,
    Configuration,
    CredentialsExpired,
    Outcome,
    Rejected,
    Retry,
    TargetDown,
    Throttled,
    Unknown,
)
from outbox.model.recovery import IdempotencyKey, NoRecovery

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DELIVERY = Delivery(
    flow="orders-to-partner",
    message_id="m-1",
    type="order.confirmed",
    version=1,
    key="order-7",
    sequence=7,
    idempotency_key="orders-to-partner-m-1",
    document={"id": 7, "at": "noon"},
    payload=b'{"id": 7,  "at": "noon"}',
)


def _adapter(base_url: str = "https://partner.example.com/hook/", **settings: object) -> WebhookAdapter:
    return WebhookAdapter(
        WebhookSettings.model_validate({"secrets": [SECRET]} | settings),
        HttpTarget(Connection.model_validate({"base_url": base_url})),
    )


def test_a_request_is_complete_but_for_the_proof_of_the_try() -> None:
    adapter: Adapter = _adapter()
    request = adapter.render(DELIVERY)

    assert (request.method, request.url) == ("POST", "https://partner.example.com/hook/")
    assert request.headers == {"Content-Type": "application/json", "webhook-id": "orders-to-partner-m-1"}
    assert request.sha256() == _adapter(secrets=[SECRET, "whsec_" + "QUFB" * 10]).render(DELIVERY).sha256()


@pytest.mark.parametrize(
    ("settings", "body"),
    [
        ({}, b'{"id":7,"at":"noon"}'),
        ({"body": "payload"}, DELIVERY.payload),
        (
            {"body": "envelope", "timestamp": "at"},
            b'{"type":"order.confirmed","timestamp":"noon","data":{"id":7,"at":"noon"}}',
        ),
    ],
)
def test_the_body_is_the_document_the_exact_payload_or_an_envelope(settings: dict[str, object], body: bytes) -> None:
    assert _adapter(**settings).render(DELIVERY).body == body


def test_an_envelope_without_its_timestamp_names_the_field() -> None:
    with pytest.raises(MappingError, match="field 'at': is missing"):
        _adapter(body="envelope", timestamp="at").render(replace(DELIVERY, document={"id": 7}))


def test_path_and_query_are_put_behind_the_address() -> None:
    adapter = _adapter(path="/orders", query={"code": "a b&c"})

    assert adapter.render(DELIVERY).url == "https://partner.example.com/hook/orders?code=a%20b%26c"


def test_a_repetition_is_safe_only_where_the_receiver_promised_to_remember() -> None:
    assert _adapter().capabilities("any").recovery == NoRecovery()
    assert _adapter(remembers="5d").capabilities("any").recovery == IdempotencyKey(5 * 86400, 60)


CASES: list[tuple[int, type[Outcome], type[Outcome]]] = [
    # status, what it means for a receiver that remembers, and for one that does not
    (200, Applied, Applied),
    (202, Applied, Applied),
    (204, Applied, Applied),
    (301, Unknown, Unknown),
    (303, Unknown, Unknown),
    (308, Configuration, Configuration),
    (400, Retry, Retry),
    (401, Configuration, Configuration),
    (403, Configuration, Configuration),
    (404, Configuration, Configuration),
    (409, Retry, Retry),
    (410, Configuration, Configuration),
    (413, Rejected, Rejected),
    (422, Retry, Retry),
    (429, Throttled, Throttled),
    (500, Unknown, Unknown),
    (502, Unknown, Unknown),
    (503, TargetDown, Unknown),
    (504, Unknown, Unknown),
    (100, Unknown, Unknown),
]


@pytest.mark.parametrize(("status", "remembering", "forgetful"), CASES)
def test_a_status_means_what_the_standard_says_of_it(
    status: int, remembering: type[Outcome], forgetful: type[Outcome]
) -> None:
    answer = Answer(status, {"retry-after": "7"}, b"never read")

    outcome = classify(answer, is_repeatable=True)
    assert type(outcome) is remembering
    assert getattr(outcome, "after_seconds", 7.0) == 7.0
    assert getattr(outcome, "is_failure", False) == (status == 500)
    assert type(classify(answer, is_repeatable=False)) is forgetful


def test_a_redirect_that_may_follow_the_effect_stops_the_flow_and_is_not_probed_where_that_is_a_second_call() -> None:
    for is_repeatable in (True, False):
        outcome = classify(Answer(302), is_repeatable=is_repeatable)
        assert isinstance(outcome, Unknown)
        assert (outcome.needs_a_person, outcome.is_final) == (True, not is_repeatable)
        assert ("outbox circuit close" in outcome.reason) is not is_repeatable


def test_a_conflict_is_about_another_request_with_the_same_id() -> None:
    outcome = classify(Answer(409), is_repeatable=True)
    assert isinstance(outcome, Retry)
    assert outcome.is_key_in_use


def test_a_receiver_that_disabled_the_webhook_is_for_a_person() -> None:
    outcome = classify(Answer(410), is_repeatable=True)

    assert isinstance(outcome, Configuration)
    assert "the receiver has disabled this webhook; ask its owner" in outcome.reason
    assert outcome.is_final


def test_a_stale_login_is_fetched_anew() -> None:
    assert type(classify(Answer(401, is_login_stale=True), is_repeatable=False)) is CredentialsExpired


def _load(adapter: dict[str, object], folder: Path, **flow: object) -> Settings:
    file = folder / "outbox.yaml"
    content = {
        "connections": {"partner": {"base_url": "https://partner.example.com/hook"}},
        "flows": {
            "orders": {
                "description": "Orders are told to the partner",
                "events": ["order.*"],
                "adapter": {"use": "webhook", "connection": "partner"} | adapter,
            }
            | flow
        },
    }
    file.write_text(json.dumps(content), encoding="utf-8")
    return load(
        path=file,
        environ={"OUTBOX_PG_URL": "postgresql://db/erp", "OUTBOX_AMQP_URL": "amqp://mq/"},
        adapters={name: kind.settings for name, kind in ADAPTERS.items()},
    )


def test_a_flow_without_a_retry_of_its_own_follows_the_schedule_of_the_standard(tmp_path: Path) -> None:
    settings = _load({"secrets": [SECRET]}, tmp_path)
    policy = settings.flows["orders"].retry.policy()

    pauses = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
    assert policy.backoff == Schedule(5.0, 86400.0, pauses)
    assert policy.attempts == 10
    shown = json.dumps(effective(settings))
    assert '"schedule": ["5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "1d"]' in shown
    assert SECRET not in shown
    assert SECRET not in repr(settings)


def test_a_flow_with_a_retry_of_its_own_follows_that(tmp_path: Path) -> None:
    settings = _load({"secrets": [SECRET]}, tmp_path, retry={"attempts": 3})

    assert settings.flows["orders"].retry.schedule is None
    assert settings.flows["orders"].retry.attempts == 3


@pytest.mark.parametrize(
    ("adapter", "place", "problem"),
    [
        ({}, "secrets", "required"),
        ({"secrets": []}, "secrets", "must not be empty"),
        ({"secrets": [SECRET] * 3}, "secrets", "must have at most 2 entries"),
        ({"secrets": [SECRET[6:]]}, "secrets[0]", "must be whsec_ and the base64 of 24 to 64 random bytes"),
        ({"secrets": [SECRET], "body": "xml"}, "body", "must be one of"),
        ({"secrets": [SECRET], "timestamp": "at"}, "timestamp", "is a field of the envelope; set body: envelope"),
        ({"secrets": [SECRET], "remembers": "10s"}, "margin", "must be shorter than remembers"),
        ({"secrets": [SECRET], "headers": {"Webhook-Id": "x"}}, "headers", "must not hold webhook-id"),
        ({"secrets": [SECRET], "headers": {"X-A": "1", "x-a": "2"}}, "headers", "must not hold a header twice: x-a"),
        ({"secrets": [SECRET], "path": "/a/{b}"}, "path", "a path has no placeholders"),
    ],
)
def test_settings_that_cannot_work_are_told_with_their_place(
    adapter: dict[str, object], place: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigProblems) as caught:
        _load(adapter, tmp_path)

    (found,) = caught.value.problems
    assert f" flows.orders.adapter.{place}" in str(found)
    assert problem in str(found)
    assert SECRET[6:] not in str(found)


@pytest.mark.parametrize(
    ("retry", "place", "problem"),
    [
        ({"schedule": []}, "schedule", "must not be empty"),
        ({"schedule": ["5"]}, "schedule[0]", "has no unit"),
        ({"schedule": ["5s", "0s"]}, "schedule[1]", "greater than 0s"),
        ({"schedule": ["5s", "1m"], "max": "2m"}, "max", "is told by schedule; remove it"),
        ({"schedule": ["5s", "1m"], "first": "1s"}, "first", "is told by schedule; remove it"),
    ],
)
def test_a_schedule_that_cannot_work_is_told_with_its_place(
    retry: dict[str, object], place: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigProblems) as caught:
        _load({"secrets": [SECRET]}, tmp_path, retry=retry)

    assert any(f" flows.orders.retry.{place}" in str(one) and problem in str(one) for one in caught.value.problems)


def test_a_schedule_may_go_on_with_its_last_pause(tmp_path: Path) -> None:
    retry = {"schedule": ["1s", "1m"], "attempts": 5}
    policy = _load({"secrets": [SECRET]}, tmp_path, retry=retry).flows["orders"].retry.policy()

    assert policy.attempts == 5
    assert [policy.backoff.delay_seconds(failures, 1.0) for failures in (0, 1, 2, 3, 9)] == [1, 1, 60, 60, 60]
    assert policy.backoff.delay_seconds(2, 0.0) == pytest.approx(54)
