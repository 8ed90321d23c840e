"""The AsyncAPI document: valid by the official schema, complete, and true of what is on the wire."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
import pytest
import yaml

from outbox.cli.asyncapi import Format, _Dumper
from outbox.cli.asyncapi_document import Described, asyncapi
from outbox.cli.asyncapi_headers import claim_headers_schema, event_headers
from outbox.flow.contract import ContractSet
from outbox.flow.contract_set import compile_contracts
from outbox.model.amqp_url import AmqpUrl
from outbox.model.claim import Claim, claim_headers
from outbox.model.envelope import Envelope, wire_headers
from outbox.rabbitmq.desired import Desired, FlowRoute, Mode, exchanges, queues

ROOT = Path(__file__).parents[2]
OFFICIAL = json.loads((ROOT / "tests" / "schemas" / "asyncapi-3.0.0.json").read_text(encoding="utf-8"))
CONSUMING = (ROOT / "docs" / "consuming.md").read_text(encoding="utf-8")
FILES: dict[str, Any] = {
    "order.confirmed/1.json": {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"},
    "order.confirmed/2.json": {
        "description": "An order that a customer has confirmed",
        "properties": {
            "total": {"$ref": "../_shared/money.json#/$defs/amount"},
            "net": {"$ref": "../_shared/money.json#money"},
            "part_of": {"$ref": "#"},
            "ref": {"enum": [{"$ref": "no reference"}]},
        },
    },
    "_shared/money.json": {"$defs": {"amount": {"$anchor": "money", "type": "number", "multipleOf": 0.01}}},
}
CONTRACTS = compile_contracts("contracts", {name: json.dumps(schema) for name, schema in FILES.items()})
ROUTES = (FlowRoute("orders-to-crm", ("order.*",)), FlowRoute("stock-to-shop", ("stock.moved", "#.confirmed")))
URL = AmqpUrl.parse("amqps://relay:s3cret@mq:5671/erp")


def document(contracts: ContractSet = CONTRACTS, *, has_claims: bool = True) -> Any:  # noqa: ANN401 - JSON
    topology = Desired(Mode.ARGUMENTS, (), exchanges(), queues(ROUTES), ROUTES)
    flows = {route.flow: "What it is for" for route in ROUTES}
    return asyncapi(Described("Events", "1.0.0", URL, "/erp", topology, flows, contracts, has_claims))


@pytest.mark.parametrize("has_claims", [True, False])
@pytest.mark.parametrize("contracts", [CONTRACTS, ContractSet({}, {})], ids=["contracts", "none"])
def test_the_document_is_valid_by_the_official_schema(contracts: ContractSet, *, has_claims: bool) -> None:
    written = json.loads(json.dumps(document(contracts, has_claims=has_claims), default=float))

    errors = jsonschema.Draft7Validator(OFFICIAL).iter_errors(written)

    assert [f"{error.json_path}: {error.message[:200]}" for error in errors] == []


def test_the_official_schema_would_find_a_mistake() -> None:
    wrong = json.loads(json.dumps(document(), default=float))
    wrong["channels"]["order.confirmed"]["bindings"]["amqp"]["exchange"]["type"] = "topical"
    wrong["operations"]["publish.order.confirmed"]["action"] = "publish"

    assert not jsonschema.Draft7Validator(OFFICIAL).is_valid(wrong)


def test_every_reference_in_the_document_leads_somewhere() -> None:
    written = document()

    def references(part: object) -> list[str]:
        if isinstance(part, list):
            return [one for member in part for one in references(member)]
        if not isinstance(part, dict):
            return []
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) and part["$ref"].startswith("#") else []
        return own + [one for member in part.values() for one in references(member)]

    found = references(written)
    assert "#/components/schemas/_shared.money/schema/$defs/amount" in found
    assert "#/components/schemas/order.confirmed.v2/schema" in found
    for reference in found:
        here = written
        for part in reference.removeprefix("#/").split("/"):
            here = here[part]


def test_types_queues_and_exchanges_are_all_there() -> None:
    written = document()

    assert set(written["channels"]) == {
        *("order.confirmed", "stock.moved", "flow.orders-to-crm", "flow.stock-to-shop", "dead.orders-to-crm"),
        *("dead.stock-to-shop", "outbox.rejected", "outbox.unrouted", "outbox.witness"),
    }
    assert [one["name"] for one in written["x-exchanges"]] == ["outbox.dead", "outbox.unrouted", "outbox.events"]
    of_flow = written["channels"]["flow.stock-to-shop"]
    assert set(of_flow["messages"]) == {"order.confirmed.v1", "order.confirmed.v2", "stock.moved.v1", "claim-check"}
    assert set(written["channels"]["flow.orders-to-crm"]["messages"]) == {
        *("order.confirmed.v1", "order.confirmed.v2", "claim-check"),
    }
    assert of_flow["bindings"]["amqp"]["x-arguments"]["x-dead-letter-exchange"] == "outbox.dead"
    assert written["components"]["messages"]["order.confirmed.v2"]["description"].startswith("An order that")
    assert "s3cret" not in json.dumps(written, default=float)


def test_numbers_of_a_contract_keep_their_digits_in_yaml() -> None:
    assert Format.YAML == "yaml"
    text = yaml.dump(document(), Dumper=_Dumper, sort_keys=False)

    assert "multipleOf: 0.01\n" in text
    assert json.loads(json.dumps(yaml.safe_load(text))) == json.loads(json.dumps(document(), default=float))


def test_the_headers_are_those_of_the_documentation() -> None:
    table = CONSUMING.partition("| header | type | content |")[2].partition("\n\n")[0]
    told = {name for line in table.splitlines()[2:] for name in re.findall(r"`([\w-]+)`", line.split("|")[1])}
    large = CONSUMING.partition("| header | content |")[2].partition("\n\n")[0]

    properties, claims = event_headers("/erp")["properties"], claim_headers_schema("")["properties"]
    assert isinstance(properties, dict)
    assert set(properties) == told
    assert isinstance(claims, dict)
    assert set(claims) == {name for line in large.splitlines()[2:] for name in re.findall(r"^\| `([\w-]+)`", line)}


@pytest.mark.parametrize("key", ["SO-1", None])
def test_the_headers_of_every_envelope_are_valid(key: str | None) -> None:
    event_id = "0d5b4f5e-3f0a-4c8e-9d3f-6c1f0a9b7e21"
    own = {"flag": True, "count": 3, "tracestate": "x", "text": "y"}
    headers = wire_headers(Envelope(event_id, 7, "order.confirmed", 2, key, b"{}", 0, own), source="/erp")
    schema = jsonschema_rs.Draft202012Validator(event_headers("/erp"), validate_formats=True)

    assert [error.message for error in schema.iter_errors(headers)] == []
    assert not schema.is_valid(headers | {"sequence": "7"})
    claims = claim_headers_schema("/h")
    claims["allOf"] = [event_headers("/erp")]
    large = jsonschema_rs.Draft202012Validator(claims, validate_formats=True)
    assert large.is_valid(headers | claim_headers(Claim(7, event_id), 20_000_000))
    assert not large.is_valid(headers)
