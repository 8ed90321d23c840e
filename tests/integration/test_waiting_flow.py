"""Orders that wait until their customer has an id in the target, through real flows."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from outbox.app import Roles
from outbox.model.dead_letters import Action, Decision
from outbox.postgres.dead_letters import dead_letter_session
from tests.kit.broker import Broker
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.linked_flows import ORDERS, LinkedFlows
from tests.kit.running import running

_XREF = {"entity": "customer", "system": "crm", "missing": "wait"}
CONSUMER = Roles(is_relay=False, is_consumer=True)


async def test_an_order_waits_for_its_customer_and_is_applied_in_order_when_a_file_links_it(flows: LinkedFlows) -> None:
    async with running(flows.settings(missing="wait", within="1h")):
        first = await flows.order("SO-1", "C-1")
        second = await flows.order("SO-1", "C-1", 2)
        await flows.link(("C-2", "4712"))
        other = await flows.order("SO-3", "C-2")

        row = await flows.waits(first)
        await flows.site.in_state(other, "applied")
        await flows.site.in_state(second, "blocked")
        assert (row["state"], row["attempt"], row["reason_class"]) == ("ready", 0, "waits")
        assert row["reason"] == "field 'customer': crm has no known id for this customer; waits for it"
        assert await flows.site.outcomes(first) == []

        await flows.link(("C-1", "4711"))
        await flows.site.in_state(second, "applied")
    assert [line.revision for line in flows.site.crm.ledger.lines if line.order_ref == "SO-1"] == [1, 2]
    assert {customer for _, customer in flows.effects()} == {"4711", "4712"}


async def test_the_receipt_of_the_flow_that_creates_the_customer_lets_its_order_go_on(flows: LinkedFlows) -> None:
    async with running(flows.settings(missing="wait")):
        order = await flows.order("SO-1", "C-1")
        await flows.waits(order)
        customer = await flows.customer("C-1")
        await flows.site.in_state(order, "applied")
        made = await flows.site.in_state(customer, "applied")
    assert flows.effects() == [("C-1", "C-1"), ("SO-1", made["external_id"])]


async def test_an_order_whose_customer_never_comes_is_a_dead_letter_that_says_how_long_it_waited(
    flows: LinkedFlows,
) -> None:
    async with running(flows.settings(missing="wait", within="300ms", orders={"on_dead": "skip"})):
        order = await flows.order("SO-1", "C-1")
        row = await flows.site.in_state(order, "dead")
        assert re.fullmatch(
            r"field 'customer': crm has no known id for this customer; waited \d+ s for it\. "
            r"Link it \(outbox xref set, or import\), then outbox dead retry",
            row["reason"],
        )
        async with dead_letter_session(flows.site.database.server) as desk:
            (story,) = await desk.stories(order, flow=None)
            assert (story.awaits, story.attempts) == ("customer C-1 in crm", 0)
            await flows.link(("C-1", "4711"))
            await desk.resolve(ORDERS, [row["id"]], Decision(Action.RETRY, who="ann"))
        await flows.site.in_state(order, "applied")
    assert flows.effects() == [("SO-1", "4711")]


async def test_a_customer_that_is_not_waited_for_is_a_dead_letter_at_once(flows: LinkedFlows) -> None:
    async with running(flows.settings()):
        order = await flows.order("SO-1", "C-1")
        row = await flows.site.in_state(order, "dead")
    assert row["reason"] == "field 'customer': crm has no known id for this customer"


async def test_a_link_that_is_taken_away_before_anybody_looked_lets_the_order_wait_on(flows: LinkedFlows) -> None:
    async with running(flows.settings(missing="wait")):
        order = await flows.order("SO-1", "C-1")
        await flows.waits(order)
        await flows.link(("C-1", "wrong"))
        await flows.unlink("C-1")
        await flows.link(("C-1", "4711"))
        await flows.site.in_state(order, "applied")
        await flows.unlink("C-1")
        later = await flows.order("SO-2", "C-1")
        await flows.waits(later)
        await flows.link(("C-1", "4712"))
        await flows.site.in_state(later, "applied")
    assert flows.effects() == [("SO-1", "4711"), ("SO-2", "4712")]


async def test_whoever_begins_with_another_mapping_maps_anew_what_waits(flows: LinkedFlows) -> None:
    async with running(flows.settings(missing="wait")):
        order = await flows.order("SO-1", "C-1")
        await flows.waits(order)
    settings = flows.settings()
    plain = flows.site.settings(flow={"events": ["order.confirmed"]})
    mended = settings.flows[ORDERS].model_copy(update={"mapping": plain.flows[ORDERS].mapping})
    async with running(settings.model_copy(update={"flows": {ORDERS: mended}})):
        await flows.site.in_state(order, "applied")
    assert flows.effects() == [("SO-1", "C-1")]


async def test_two_replicas_let_each_order_wait_once_and_apply_it_once(flows: LinkedFlows) -> None:
    settings = flows.settings(missing="wait")
    numbers = range(40)
    async with running(settings, Roles(is_relay=True, is_consumer=True)), running(settings, CONSUMER):
        orders = [await flows.order(f"SO-{number}", f"C-{number}") for number in numbers]
        for order in orders:
            await flows.waits(order)
        await flows.link(*[(f"C-{number}", f"id-{number}") for number in numbers])
        for order in orders:
            await flows.site.in_state(order, "applied")
    assert sorted(flows.effects()) == sorted((f"SO-{number}", f"id-{number}") for number in numbers)


async def test_a_process_that_is_killed_while_an_order_waits_loses_nothing_and_tells_people_what_it_waits_for(
    flows: LinkedFlows, cli: Cli, database: Database, broker: Broker
) -> None:
    settings = flows.settings(missing="wait", within="1h")
    assert settings.flows
    (written,) = flows.site.folder.glob("*.yaml")
    written.rename(cli.folder / "outbox.yaml")
    here = replace(cli, pg_url=database.url, amqp_url=broker.url)
    process = await here.start("run")
    try:
        order = await flows.order("SO-1", "CANARY-1")
        before = await flows.waits(order)
        await process.logged("deliveries wait for ids of other systems", deliveries=1)
    finally:
        await process.kill()
    assert "CANARY" not in json.dumps(process.lines)
    assert "1 wait for ids of other systems, the oldest for customer CANARY-1 in crm" in (await here("status")).out
    (listed,) = (await here("dead", "list", "--state", "ready", "--json")).json()
    assert (listed["message_id"], listed["reason_class"]) == (order, "waits")
    shown = (await here("dead", "show", order)).out
    assert re.search(r"lacks +customer CANARY-1 in crm", shown), shown

    await flows.link(("CANARY-1", "4711"))
    async with here.running("run"):
        row = await flows.site.in_state(order, "applied")
    assert (row["attempt"], before["attempt"]) == (1, 0)
    assert flows.effects() == [("SO-1", "4711")]


async def test_an_order_that_the_shop_names_by_its_own_customer_is_applied_with_our_key(flows: LinkedFlows) -> None:
    async with running(flows.settings(missing="wait", to="key")):
        order = await flows.order("SO-1", "4711")
        row = await flows.waits(order)
        assert row["reason"] == "field 'customer': we know no customer by this id of crm; waits for it"
        await flows.link(("C-1", "4711"))
        await flows.site.in_state(order, "applied")
    assert flows.effects() == [("SO-1", "C-1")]


@pytest.mark.parametrize("key", ["C\u0000", "", "C" * 256])
async def test_what_can_never_be_linked_is_not_waited_for(flows: LinkedFlows, key: str) -> None:
    rules = [{"source_field": "customer", "target_field": "customer", "transform": {"xref": _XREF}}]
    async with running(flows.settings(orders={"mapping": rules})):
        value = await flows.site.database.value(
            "select outbox.emit('order.confirmed', 'k', $1::json)",
            '{"customer": "' + key.replace("\0", "\\u0000") + '"}',
        )
        row = await flows.site.in_state(str(value), "dead")
    assert row["reason_class"] == "mapping"
