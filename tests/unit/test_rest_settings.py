import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from adapters.http_target import HttpTarget
from adapters.registry import ADAPTERS
from adapters.rest import RestAdapter
from adapters.rest_settings import RestSettings
from outbox.config.load import load
from outbox.config.problems import ConfigProblems
from outbox.model.connection import Connection
from outbox.model.recovery import IdempotencyKey, NoRecovery
from tests.unit.config_cases import problems_of

OPERATIONS: dict[str, object] = {"order.confirmed": {"method": "POST", "path": "/deals", "external_id": "deal.id"}}
BATCH: dict[str, object] = {"max": 2, "external_id": "id"}


def _one(**operation: object) -> dict[str, object]:
    return {"operations": {"a": {"method": "POST", "path": "/deals"} | operation}}


CONNECTION = Connection(base_url="https://crm.example.com")


def test_the_documented_block_is_read() -> None:
    settings = RestSettings.model_validate(
        {
            "idempotency": {"header": "Idempotency-Key", "window": "24h", "margin": "60s", "quoted": False},
            "operations": OPERATIONS,
            "headers": {"X-Source": "erp"},
            "statuses": {409: "retry", "5xx": "retry"},
        }
    )

    assert settings.idempotency is not None
    assert settings.idempotency.window == 86_400
    assert settings.statuses == {"409": "retry", "5xx": "retry"}
    assert settings.operations["order.confirmed"].external_id == "deal.id"


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"operations": {}}, "at least 1"),
        ({"operations": {"a": {"method": "GET", "path": "/"}}}, "POST"),
        ({"operations": {"a": {"method": "POST", "path": "deals"}}}, "starts with /"),
        ({"operations": {"a": {"method": "POST", "path": "/deals?x=1"}}}, "URL characters only"),
        ({"operations": {"a": {"method": "POST", "path": "/deals#x"}}}, "URL characters only"),
        ({"operations": {"a": {"method": "POST", "path": "/a/../b"}}}, "no . or .. segments"),
        ({"operations": {"a": {"method": "POST", "path": "/a/{}"}}}, "not a dotted field name"),
        ({"operations": {"a": {"method": "POST", "path": "/a/{b..c}"}}}, "not a dotted field name"),
        ({"operations": {"a": {"method": "POST", "path": "/a/{b"}}}, "URL characters only"),
        ({"operations": {"a": {"method": "POST", "path": "/a", "external_id": "a."}}}, "pattern"),
        ({"idempotency": {"window": "1m"}}, "margin (60 s) must be shorter than window (60 s)"),
        ({"idempotency": {"window": ".inf"}}, "duration"),
        ({"idempotency": {"window": float("inf")}}, "finite"),
        ({"idempotency": {"window": "1h", "header": "Host"}}, "set by the adapter or the connection"),
        ({"headers": {"authorization": "Bearer x"}}, "set by the adapter or the connection"),
        ({"headers": {"Content-Length": "1"}}, "set by the adapter or the connection"),
        ({"headers": {"X Source": "erp"}}, "pattern"),
        ({"headers": {"X-Source:": "erp"}}, "pattern"),
        ({"headers": {"X-Source": "erp\r\nX-Evil: 1"}}, "pattern"),
        ({"headers": {"X-Source": "erp\n"}}, "pattern"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "set twice: x-a"),
        (
            {"headers": {"idempotency-key": "1"}, "idempotency": {"window": "1h"}},
            "set twice: idempotency-key",
        ),
        ({"statuses": {"600": "retry"}}, "pattern"),
        ({"statuses": {"4x": "retry"}}, "pattern"),
        ({"statuses": {"409": "accepted"}}, "already_applied"),
        ({"retries": 3}, "Extra inputs"),
        ({"idempotency": {"window": "1h", "field": "key", "header": "X-Key"}}, "must not stand beside header"),
        ({"api_version": {"name": "1", "header": "X-A"}, "headers": {"x-a": "2"}}, "set twice: x-a"),
        (_one(headers={"X-A": "1"}) | {"headers": {"x-a": "2"}}, "set twice: x-a"),
        (_one(headers={"Host": "x"}), "set by the adapter or the connection"),
        (_one(headers={"X-A": "{a..b}"}), "not a dotted field name"),
        (_one(query={"a": "{b"}), "a brace stands for itself nowhere"),
        (_one(body="all"), "none"),
        (_one(body={"wrap": "a."}), "pattern"),
        (_one(rules=[{"outcome": "retry"}]), "unless there is a path"),
        (
            _one(reference="r", look_up={"path": "/{reference}"}),
            "something of an answer must say that it is the record",
        ),
        (
            _one(reference="r", look_up={"path": "/{reference}", "records": "a", "absent": [{}]}),
            "unless there is a path",
        ),
        (_one(batch={"max": 1, "external_id": "id"}), "greater than or equal to 2"),
        (_one(batch={"max": 2}), "something of a result must say that it succeeded"),
        (_one(path="/deals/{id}", batch=BATCH), "must not stand beside placeholders"),
        (_one(query={"a": "{b}"}, batch=BATCH), "must not stand beside placeholders"),
        (_one(external_id="id", batch=BATCH), "belongs into batch"),
        (_one(body="none", batch=BATCH), "needs a body, in which the records are"),
        (
            _one(recovery="job", job={"status": "s", "applied": ["x"]}, batch=BATCH)
            | {"idempotency": {"window": "1h"}},
            "must not stand beside job",
        ),
        (
            _one(recovery="idempotency_key", batch=BATCH) | {"idempotency": {"window": "1h"}},
            "each record of a batch needs its key: set idempotency.field",
        ),
        ({"check": {"path": "/me/{id}"}}, "must have no placeholders: no document is there when it is asked"),
    ],
)
def test_settings_that_cannot_work_are_refused(changed: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RestSettings.model_validate({"operations": OPERATIONS} | changed)

    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("connection", "problem"),
    [
        ({"base_url": "https://user:pw@crm.example.com"}, "must not hold user or password; put the token"),
        ({"base_url": "https://pw@crm.example.com/api"}, "must not hold user or password; put the token"),
        ({"base_url": "https://:80"}, "must name a host, and a port only as a number"),
        ({"base_url": "https://crm:99999"}, "must name a host, and a port only as a number"),
        ({"base_url": "https://crm:0"}, "must name a host, and a port only as a number"),
        ({"base_url": "https://[::1"}, "must name a host, and a port only as a number"),
        ({"base_url": "crm.example.com"}, "must begin with http:// or https://"),
        ({"base_url": "https://crm/?key=pw"}, "must begin with http:// or https:// and have no query"),
        ({"base_url": "https://crm", "bearer": "pw\nx"}, "must be the token alone"),
        ({"base_url": "https://crm", "bearer": "Bearer pw"}, "must be the token alone"),
        ({"base_url": "https://crm", "bearer": "tökén"}, "must be the token alone"),
        ({"base_url": "https://crm", "bearer": ""}, "must not be empty"),
    ],
)
def test_a_connection_that_cannot_work_is_refused_without_its_secrets(
    connection: dict[str, str], problem: str, tmp_path: Path
) -> None:
    (found,) = problems_of(f"connections: {json.dumps({'crm': connection})}", tmp_path)

    assert f" connections.crm.{list(connection)[-1]}" in found
    assert f": {problem}" in found
    assert not any(secret in found for secret in ("pw", "tök"))


def test_an_error_of_the_model_itself_does_not_quote_the_token() -> None:
    with pytest.raises(ValidationError) as caught:
        Connection.model_validate({"base_url": "https://crm", "bearer": "to ken"})

    assert "must be the token alone" in str(caught.value)
    assert "to ken" not in str(caught.value)


def test_recovery_is_the_configured_window_or_none() -> None:
    with_key = _build({"idempotency": {"window": "24h", "margin": "5m"}})

    assert with_key.capabilities("order.confirmed").recovery == IdempotencyKey(
        window_seconds=86_400, margin_seconds=300
    )
    assert _build({}).capabilities("order.confirmed").recovery == NoRecovery()


def _build(settings: dict[str, object]) -> RestAdapter:
    return RestAdapter(RestSettings.model_validate({"operations": OPERATIONS} | settings), HttpTarget(CONNECTION))


def test_everything_that_is_wrong_in_a_file_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "outbox.yaml"
    file.write_text(WRONG, encoding="utf-8")

    with pytest.raises(ConfigProblems) as caught:
        load(
            path=file,
            environ={"OUTBOX_PG_URL": "postgresql://db/erp", "OUTBOX_AMQP_URL": "amqp://mq/"},
            adapters={name: kind.settings for name, kind in ADAPTERS.items()},
        )

    words = "applied, already_applied, rejected, retry, throttled, target_down, configuration, credentials_expired"
    brace = "a brace stands for itself nowhere; write {field.name} for a field of the document"
    told = "\n".join(str(problem) for problem in caught.value.problems).replace(f"{tmp_path}/outbox.yaml:", "")
    assert told.replace("flows.orders.adapter.", "") == "\n".join(
        [
            "11:9 api_version.header='X Version': must match the pattern ^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
            f"14:57 operations.'order.*'.query.q='{{a': {brace}",
            f"18:15 operations.'order.*'.rules[0].outcome=dead: must be one of {words}, unknown, stale_conflict",
            "19:19 operations.'order.*'.batch.max=1: must be a whole number between 2 and 1000",
        ]
    )


WRONG = """\
connections:
  crm: {base_url: https://crm.example.com}
flows:
  orders:
    description: Orders
    events: [order.confirmed]
    adapter:
      use: rest
      connection: crm
      api_version:
        header: X Version
        name: "1"
      operations:
        "order.*": {method: POST, path: /deals, query: {q: "{a"},
          rules: [
            {
              status: 200,
              outcome: dead}],
          batch: {max: 1, external_id: id}}
"""
