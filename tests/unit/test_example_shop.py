"""The worked example is whole: its settings, contracts, mappings and samples fit together, and nothing is undecided."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml
from typer.core import TyperGroup

from adapters.build import build
from adapters.http_target import HttpTarget
from adapters.registry import ADAPTERS
from outbox.cli.contract_samples import flows_of, links_in, samples_in
from outbox.cli.main import app
from outbox.config.inventory import warnings_of
from outbox.config.load import load
from outbox.config.settings import Settings
from outbox.flow.contract_samples import missing, passage
from outbox.flow.mapping import Mapping
from outbox.flow.mapping_rules import rules_of
from outbox.flow.placeholders import placeholders
from outbox.wiring_contracts import contracts_of
from sandbox.shop_catalog import CUSTOMERS, PRODUCTS

EXAMPLE = Path(__file__).parents[2] / "examples" / "shop"
ENVIRONMENT = {
    "OUTBOX_PG_URL": "postgresql://db/erp",
    "OUTBOX_AMQP_URL": "amqp://mq/",
    "ERP_URL": "http://127.0.0.1:8001",
    "ERP_TOKEN": "token",
    "CRM_URL": "http://127.0.0.1:8002",
    "CRM_TOKEN": "token",
    "SHOP_URL": "http://127.0.0.1:8003",
    "SHOP_TOKEN": "token",
    "SHOP_WEBHOOK_SECRET": "a secret of some length",
    "SHOP_INTAKE_PORT": "8090",
    "CHAT_URL": "http://127.0.0.1:8001/chat",
}


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load(
        path=EXAMPLE / "outbox.yaml",
        environ=ENVIRONMENT,
        adapters={name: kind.settings for name, kind in ADAPTERS.items()},
    )


def test_every_flow_has_an_owner_a_promise_and_a_runbook_that_is_there(settings: Settings) -> None:
    assert len(settings.flows) == 4
    for name, flow in settings.flows.items():
        assert warnings_of(flow) == (), name
        assert flow.runbook == f"runbooks/{name}.md"
        assert f"# {name}:" in (EXAMPLE / flow.runbook).read_text(encoding="utf-8")
        assert flow.source_of_truth is not None
        assert flow.expect_every is not None
        build(flow.adapter.settings, HttpTarget(settings.connections[flow.adapter.connection]))


def test_both_directions_are_there_and_totals_are_compared_in_both(settings: Settings) -> None:
    assert {flow.direction for flow in settings.flows.values()} == {"inbound", "outbound"}
    assert {flow.direction for flow in settings.flows.values() if flow.reconcile} == {"inbound", "outbound"}


def test_every_sample_becomes_what_its_target_takes_and_none_is_missing(settings: Settings) -> None:
    samples, contracts, flows = samples_in(EXAMPLE / "samples"), contracts_of(settings), flows_of(settings)

    assert missing(samples, contracts, flows) == []
    assert [
        str(failure) for failure in passage(samples, contracts, flows, links_in(EXAMPLE / "samples")).failures
    ] == []
    assert all(flow.target is not None for flow in flows)


def test_ids_up_to_nineteen_digits_arrive_with_all_of_them(settings: Settings) -> None:
    payload = (EXAMPLE / "samples" / "shop.order_created" / "1" / "no-address.json").read_bytes()
    mapping = Mapping.compile(rules_of(settings.flows["shop-orders-to-erp"].mapping))

    document = mapping.explain(payload, dict(placeholders(mapping, payload)))[0]

    assert (document["web_order"], document["total"]) == ("820982911946154508", "14.90")


def test_the_lists_of_ids_name_what_the_simulated_shop_has() -> None:
    def column(name: str, number: int) -> set[str]:
        lines = (EXAMPLE / "links" / name).read_text(encoding="utf-8").splitlines()[1:]
        return {line.split(",")[number] for line in lines}

    assert column("customers_shop.csv", 1) == {str(one.id) for name, one in CUSTOMERS.items() if name != "dina"}
    assert column("customers_shop.csv", 0) == column("customers_crm.csv", 0)
    items = {product.sku: product.inventory_item_id for product in PRODUCTS.values()}
    assert column("products_shop.csv", 0) < items.keys()
    assert column("products_shop.csv", 1) == {items[sku] for sku in column("products_shop.csv", 0)}


def test_every_link_of_the_tutorial_leads_somewhere() -> None:
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    assert targets
    assert [target for target in targets if not (EXAMPLE / target).exists()] == []


@pytest.mark.parametrize("file", sorted((EXAMPLE / "runbooks").glob("*.md")), ids=lambda file: file.stem)
def test_every_command_of_a_runbook_can_be_typed(file: Path) -> None:
    verbs = typer.main.get_group(app)
    commands = re.findall(r"`outbox ([^`]+)`", file.read_text(encoding="utf-8"))
    assert commands
    for words in map(str.split, commands):
        command: Any = verbs
        while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
            command = command.get_command(click.Context(verbs), words.pop(0))  # type: ignore[arg-type]
            assert command is not None, words
        known = {name for one in command.params for name in one.opts}
        assert {word for word in words if word.startswith("-")} <= known, words


@pytest.mark.parametrize("file", sorted((EXAMPLE / "mappings").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_mapping_is_somebodys(file: Path) -> None:
    named = [
        flow["mapping"]
        for one in (EXAMPLE / "flows").glob("*.yaml")
        for flow in yaml.safe_load(one.read_text(encoding="utf-8"))["flows"].values()
    ]
    assert f"../mappings/{file.name}" in named
