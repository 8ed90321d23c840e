"""``outbox contract test``: samples through contract, mapping and the target's own schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outbox.model.errors import ExitCode
from tests.kit.cli import FLOW, one_flow
from tests.kit.verbs import Verbs

ORDER = {"type": "object", "required": ["order_ref"], "properties": {"total": {"type": "number"}}}
# An older version of JSON Schema, with a pattern that contracts may not have.
DEAL = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "properties": {"amount": {"type": "number", "multipleOf": 0.01}, "ref": {"pattern": "^(?!X)"}},
    "additionalProperties": False,
}
MAPPING = [
    {"source_field": "order_ref", "target_field": "ref", "required": True},
    {"source_field": "total", "target_field": "amount"},
]

# The order's customer, and the item of each line and of each of its parts.
REFERRING = [
    {
        "source_field": "customer",
        "target_field": "partner",
        "transform": [{"xref": {"entity": "customer", "system": "crm"}}],
    },
    {
        "source_field": "lines",
        "target_field": "rows",
        "fields": [
            {
                "source_field": "sku",
                "target_field": "item",
                "transform": [{"xref": {"entity": "item", "system": "crm"}}],
            },
            {
                "source_field": "parts[].sku",
                "target_field": "parts[].item",
                "transform": ["uppercase", {"xref": {"entity": "item", "system": "crm"}}, "integer"],
            },
        ],
    },
]
ASSEMBLED = {
    "customer": "C-1",
    "lines": [{"sku": "A", "parts": [{"sku": "b"}, {"sku": "c"}]}, {"sku": "D", "parts": []}],
}

TARGET = f"flow {FLOW}, target document"


@pytest.fixture
def outbox(tmp_path: Path) -> Verbs:
    verbs = Verbs(tmp_path)
    flow = one_flow()
    flows = flow["flows"]
    assert isinstance(flows, dict)
    flows[FLOW] |= {"mapping": MAPPING, "target_schema": "schemas/deal.json"}
    verbs.settings(flow | {"contracts": {"directory": "contracts", "samples": "samples"}})
    write(tmp_path / "contracts/order.confirmed/1.json", ORDER)
    write(tmp_path / "schemas/deal.json", DEAL)
    return verbs


def write(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def sample(outbox: Verbs, name: str, content: object) -> None:
    write(outbox.folder / "samples" / name, content)


async def test_a_sample_that_gets_through_is_silent(outbox: Verbs) -> None:
    sample(outbox, "order.confirmed/1/small.json", '{"order_ref": "SO-1", "total": 12345678901234567.89}')

    ended = await outbox("contract", "test", "--every")

    assert (ended.code, ended.out.splitlines()) == (ExitCode.OK, ["1 sample(s), 0 of them failed"])


async def test_whatever_stops_a_sample_is_one_line(outbox: Verbs) -> None:
    sample(outbox, "order.confirmed/1/a-contract.json", {"order_ref": "SO-1", "total": "12"})
    sample(outbox, "order.confirmed/1/b-mapping.json", {"order": "SO-1"})
    sample(outbox, "order.confirmed/1/c-target.json", {"order_ref": "SO-1", "total": 1.005})
    sample(outbox, "order.confirmed/1/d-pattern.json", {"order_ref": "XO-1"})
    sample(outbox, "order.confirmed/2/e-version.json", {"order_ref": "SO-1"})

    ended = await outbox("contract", "test")

    assert ended.code == ExitCode.CHECK_FAILED
    assert [line.partition("samples/")[2] for line in ended.out.splitlines()[:-1]] == [
        "order.confirmed/1/a-contract.json: contract order.confirmed@1: /total: rule type (number), found a string",
        f"order.confirmed/1/a-contract.json: {TARGET}: /amount: rule type (number), found a string",
        "order.confirmed/1/b-mapping.json: contract order.confirmed@1: /order_ref: rule required, found nothing",
        f"order.confirmed/1/b-mapping.json: flow {FLOW}, mapping: field 'order_ref' (for 'ref'): is missing",
        f"order.confirmed/1/c-target.json: {TARGET}: /amount: rule multipleOf (0.01), found a number",
        f"order.confirmed/1/d-pattern.json: {TARGET}: /ref: rule pattern, found a string",
        "order.confirmed/2/e-version.json: contract order.confirmed@2: there is no such contract",
    ]
    assert ended.out.splitlines()[-1] == "5 sample(s), 5 of them failed"


async def test_a_step_to_another_version_is_held_to_its_contract(outbox: Verbs) -> None:
    content = json.loads((outbox.folder / "outbox.yaml").read_text(encoding="utf-8"))
    content["flows"][FLOW] |= {"events": ["order.confirmed@2"], "mapping": []}
    fields = [{"source_field": "order_ref", "target_field": "ref"}, {"source_field": "total", "target_field": "amount"}]
    content["upcasters"] = {"order.confirmed@1": {"to": 2, "mapping": fields}}
    outbox.settings(content)
    write(outbox.folder / "contracts/order.confirmed/2.json", {"required": ["amount"]})
    sample(outbox, "order.confirmed/1/good.json", {"order_ref": "SO-1", "total": 1})
    sample(outbox, "order.confirmed/1/without.json", {"order_ref": "SO-1"})

    ended = await outbox("contract", "test")

    assert [line.partition("samples/")[2] for line in ended.out.splitlines()[:-2]] == [
        f"order.confirmed/1/without.json: flow {FLOW}, cast to order.confirmed@2: /amount: rule required, found nothing"
    ]


async def test_what_no_sample_proves_is_told_and_fails_where_every_one_is_asked_for(outbox: Verbs) -> None:
    write(outbox.folder / "contracts/stock.moved/1.json", {})
    sample(outbox, "stock.moved/1/one.json", {})

    told = await outbox("contract", "test")
    failed = await outbox("contract", "test", "--every", "--format", "json")

    assert (told.code, told.out.splitlines()[:-1]) == (
        ExitCode.OK,
        ["contract order.confirmed@1 has no sample", f"flow {FLOW} has no sample"],
    )
    assert failed.code == ExitCode.CHECK_FAILED
    assert json.loads(failed.out)["unproven"] == told.out.splitlines()[:-1]


def refer(outbox: Verbs, rules: object, target: object) -> None:
    content = json.loads((outbox.folder / "outbox.yaml").read_text(encoding="utf-8"))
    content["flows"][FLOW] |= {"mapping": rules}
    outbox.settings(content)
    write(outbox.folder / "contracts/order.confirmed/1.json", {"required": ["customer"]})
    write(outbox.folder / "schemas/deal.json", target)


async def test_ids_that_a_sample_needs_in_nested_lists_are_stood_in_for_and_that_is_said(outbox: Verbs) -> None:
    rules = json.loads(json.dumps(REFERRING).replace(', "integer"]', "]"))
    row = {"required": ["item"], "properties": {"item": {"pattern": "^<crm id of item"}}}
    refer(outbox, rules, {"required": ["partner"], "properties": {"rows": {"items": row}}})
    sample(outbox, "order.confirmed/1/assembled.json", ASSEMBLED)

    told = await outbox("contract", "test", "--every")
    listed = await outbox("contract", "test", "--format", "json")

    assert (told.code, told.out.splitlines()) == (
        ExitCode.OK,
        [
            "5 id(s) of other systems are stand-ins, like <crm id of customer C-1>; links.json may tell them",
            "1 sample(s), 0 of them failed",
        ],
    )
    keys = ["customer C-1", "item A", "item B", "item C", "item D"]
    assert listed.json()["stand_ins"] == [f"<crm id of {key}>" for key in keys]


async def test_ids_that_the_samples_bring_along_stand_in_the_document(outbox: Verbs) -> None:
    part = {"properties": {"item": {"enum": [12, 13]}}}
    row = {"properties": {"item": {"enum": ["11", "14"]}, "parts": {"items": part}}}
    refer(outbox, REFERRING, {"properties": {"partner": {"const": "4711"}, "rows": {"items": row}}})
    sample(outbox, "order.confirmed/1/assembled.json", ASSEMBLED)

    without = await outbox("contract", "test")
    sample(outbox, "links.json", {"crm": {"customer": {"C-1": "4711"}, "item": {"A": "11", "B": "12", "C": "13"}}})
    partly = await outbox("contract", "test")
    sample(
        outbox,
        "links.json",
        {"crm": {"customer": {"C-1": "4711"}, "item": {"A": "11", "B": "12", "C": "13", "D": "14"}}},
    )
    whole = await outbox("contract", "test", "--every")

    assert f"flow {FLOW}, mapping: field 'lines[0].parts[0].sku' (for 'rows[0].parts[0].item')" in without.out
    assert "5 id(s) of other systems are stand-ins" in without.out
    assert f"{TARGET}: /rows/1/item: rule enum, found a string" in partly.out
    assert "1 id(s) of other systems are stand-ins, like <crm id of item D>" in partly.out
    assert (whole.code, whole.out.splitlines()) == (ExitCode.OK, ["1 sample(s), 0 of them failed"])


@pytest.mark.parametrize(
    ("links", "problem"),
    [
        ("[]", "links.json: field '(document)': is a list, expected an object"),
        ('{"crm": {}, "crm": {}}', "links.json: field '(document)': has the same key twice in one object"),
        ('{"crm": ["C-1"]}', "links.json: field 'crm': is a list, expected an object"),
        (
            '{"crm": {"customer": {"C-1": 4711}}}',
            "links.json: field 'crm.customer.C-1': is a number, expected a string",
        ),
        ('{"crm": {"customer": {"C-1": "1", "C-2": "1"}}}', "links.json: field 'crm.customer.C-2': has the id of C-1"),
        ('{"crm": {"customer": {"C-1": " 1"}}}', "field 'crm.customer.C-1': has spaces before or behind it"),
    ],
)
async def test_a_file_of_ids_that_is_none_is_told(outbox: Verbs, links: str, problem: str) -> None:
    sample(outbox, "order.confirmed/1/small.json", {"order_ref": "SO-1"})
    sample(outbox, "links.json", links)

    refusal = (await outbox("contract", "test")).refusal(ExitCode.MISCONFIGURED)

    assert problem in refusal
    assert "write ids as system, entity and key tell them" in refusal


async def test_consumers_need_no_settings(outbox: Verbs) -> None:
    (outbox.folder / "outbox.yaml").unlink()
    sample(outbox, "order.confirmed/1/ours.json", {"ref": "SO-1"})
    arguments = ("--dir", str(outbox.folder / "contracts"), "--samples", str(outbox.folder / "samples"))

    ended = await outbox("contract", "test", *arguments, OUTBOX_PG_URL="", OUTBOX_AMQP_URL="")

    assert ended.code == ExitCode.CHECK_FAILED
    assert "contract order.confirmed@1: /order_ref: rule required, found nothing" in ended.out


async def test_a_folder_without_samples_and_a_wrong_name_are_mistakes(outbox: Verbs) -> None:
    nothing = (await outbox("contract", "test")).refusal(ExitCode.MISCONFIGURED)
    sample(outbox, "order.confirmed/one.json", {})
    misplaced = (await outbox("contract", "test")).refusal(ExitCode.MISCONFIGURED)
    write(outbox.folder / "schemas/deal.json", {"$ref": "https://example.com/deal.json"})
    remote = (await outbox("contract", "test")).refusal(ExitCode.MISCONFIGURED)

    assert "has no samples next step: put payloads there" in nothing
    assert "order.confirmed/one.json is no name of a sample" in misplaced
    assert f"flows.{FLOW}.target_schema: " in remote
    assert "is no JSON Schema that can be used" in remote
