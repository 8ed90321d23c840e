"""A mapping in a real flow: what the target gets, and what becomes of an event that cannot be mapped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from outbox.model.dead_letters import Action, Decision
from outbox.model.xref import Pair, Registry, Source
from outbox.postgres.dead_letters import dead_letter_session
from outbox.postgres.xref import xref_session
from sandbox.crm import CrmServer
from tests.kit.broker import Broker
from tests.kit.database import Database
from tests.kit.running import ALONE, Integration, running

RULES: list[dict[str, object]] = [
    {"template": "{order_ref}", "target_field": "external_ref", "transform": ["trim", "uppercase"], "required": True},
    {"source_field": "revision", "target_field": "revision"},
    {
        "source_field": "lines",
        "target_field": "lines",
        "fields": [{"source_field": "price", "target_field": "price", "transform": {"decimal": 2}, "required": True}],
    },
    {"source_field": "amount", "target_field": "amount", "transform": [{"decimal": 2}, "string"]},
    {
        "source_field": "country",
        "target_field": "customer",
        "transform": {"table": {"file": "accounts.csv", "key": "country", "value": "account"}},
    },
    {"target_field": "currency", "default": "CHF"},
]


@pytest.fixture
async def integration(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Integration]:
    (tmp_path / "accounts.csv").write_text("country,account\nCH,K-41\n", encoding="utf-8")
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as crm:
        yield Integration(database, broker, crm, tmp_path)


async def test_an_id_of_another_system_is_looked_up_and_one_that_is_not_known_waits_for_a_person(
    integration: Integration,
) -> None:
    rules = [
        {"source_field": "order_ref", "target_field": "external_ref"},
        {"source_field": "revision", "target_field": "revision"},
        {"source_field": "amount", "target_field": "amount"},
        # What is looked up by can itself be an id.
        {
            "source_field": "customer",
            "target_field": "customer",
            "transform": [
                {"xref": {"entity": "customer", "system": "shop"}},
                {"xref": {"entity": "account", "system": "crm"}},
            ],
        },
    ]
    server = integration.database.server
    async with xref_session(server) as session:
        for registry, pair in (
            (Registry("customer", "shop"), Pair("C-1", "shop-1")),
            (Registry("customer", "shop"), Pair("C-2", "shop-2")),
            (Registry("account", "crm"), Pair("shop-1", "K-41")),
        ):
            await session.link(registry, [pair], Source.PERSON, who="ann", why=None)
        async with running(integration.settings(mapping=rules, retry=ALONE, flow={"on_dead": "skip"})):
            known = await integration.emit("SO-1", customer="C-1")
            await integration.in_state(known, "applied")
            unknown = await integration.emit("SO-2", 2, customer="C-2")
            row = await integration.in_state(unknown, "dead")
            assert row["reason"] == "field 'customer': crm has no known id for this account"
            assert await integration.outcomes(unknown) == []

            await session.link(Registry("account", "crm"), [Pair("shop-2", "K-42")], Source.PERSON, who="ann", why=None)
            async with dead_letter_session(server) as desk:
                await desk.resolve(row["flow"], [row["id"]], Decision(Action.RETRY, who="ann"))
            await integration.in_state(unknown, "applied")

    assert [(line.order_ref, line.customer) for line in integration.crm.ledger.lines] == [
        ("SO-1", "K-41"),
        ("SO-2", "K-42"),
    ]


async def test_the_target_gets_what_the_rules_make_and_what_they_cannot_make_is_a_dead_letter(
    integration: Integration,
) -> None:
    async with running(integration.settings(mapping=RULES, retry=ALONE, flow={"on_dead": "skip"})):
        event_id = await integration.emit(" so-1 ", country="CH", amount="12.5", lines=[{"price": 1}])
        await integration.in_state(event_id, "applied")
        wrong = await integration.emit("SO-2", 2, country="CH", lines=[{"price": 1}, {"price": "1.005"}])
        unknown = await integration.emit("SO-3", 3, country="secret", lines=[])
        reasons = [(await integration.in_state(one, "dead"))["reason"] for one in (wrong, unknown)]

    (line,) = integration.crm.ledger.lines
    assert (line.order_ref, line.customer, line.amount) == ("SO-1", "K-41", "12.50")
    assert reasons == [
        "field 'lines[1].price': would lose digits; the rule needs rounding",
        "field 'country' (for 'customer'): is a value that the table does not have",
    ]
    assert await integration.outcomes(wrong) == []
