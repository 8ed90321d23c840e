"""Receipts fill the cross-reference in the transaction that settles their call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from outbox.model.dead_letters import Action, Decision
from outbox.model.delivery import Settlement, State
from outbox.model.flow_policy import FlowPolicy
from outbox.model.xref import LinkVerdict, Pair, Registry, Source
from outbox.postgres.dead_letters import dead_letter_session
from outbox.postgres.inbox_store import InboxStore
from outbox.postgres.xref import Filters, xref_session
from sandbox.crm import DEFAULT_TOKEN, CrmServer
from tests.kit.broker import Broker
from tests.kit.cli import FLOW as CLI_FLOW
from tests.kit.cli import Cli, one_flow
from tests.kit.database import Database
from tests.kit.inbox import FLOW, LANES, Inbox, applied, arrival, ended

CUSTOMERS = Registry("customer", "crm")


@pytest.fixture
async def linking(database: Database) -> AsyncIterator[Inbox]:
    async with InboxStore(database.server, FlowPolicy(links=CUSTOMERS)).session(FLOW) as session:
        await session.register(LANES)
        ready = Inbox(session, database)
        await ready.hold()
        yield ready


async def links(database: Database) -> dict[str, str]:
    async with xref_session(database.server) as session:
        return {one.canonical_key: one.external_id for one in await session.links(Filters(), most=100)}


async def test_an_applied_event_links_its_key_and_says_what_became_of_it(linking: Inbox, database: Database) -> None:
    await linking.accept(arrival(1, "C-1"), arrival(2, "C-2"), arrival(3, None), arrival(4, "C-4"))
    due = await linking.due()
    await linking.begin(*due)
    results = [applied(one, f"id-{one.sequence}") for one in due]
    # What the target has not told links nothing.
    results[-1] = ended(due[-1], Settlement(State.APPLIED))
    settled = await linking.session.settle(linking.me, results)
    assert {one.sequence: settled[one.id] for one in due} == {
        1: LinkVerdict.LINKED,
        2: LinkVerdict.LINKED,
        3: None,
        4: None,
    }
    assert await links(database) == {"C-1": "id-1", "C-2": "id-2"}


async def test_what_was_not_applied_links_nothing(linking: Inbox, database: Database) -> None:
    await linking.accept(arrival(1, "C-1"))
    (due,) = await linking.due()
    await linking.begin(due)
    dead = Settlement(State.DEAD, reason="no", reason_class="rejected", external_id="id-1")
    assert await linking.settle(ended(due, dead)) == {due.id}
    assert await links(database) == {}


async def test_a_result_whose_owner_has_lost_its_lane_links_nothing(linking: Inbox, database: Database) -> None:
    await linking.accept(arrival(1, "C-1"))
    (due,) = await linking.due()
    await linking.begin(due)
    await database.value("update inbox.lane set epoch = epoch + 1")
    assert await linking.settle(applied(due, "id-1")) == set()
    assert await links(database) == {}


async def test_a_receipt_that_contradicts_is_settled_all_the_same_and_changes_no_link(
    linking: Inbox, database: Database
) -> None:
    async with xref_session(database.server) as session:
        await session.link(CUSTOMERS, [Pair("C-1", "other")], Source.PERSON, who="ann", why=None)
    await linking.accept(arrival(1, "C-1"), arrival(2, "C-2"))
    due = await linking.due()
    await linking.begin(*due)
    settled = await linking.session.settle(linking.me, [applied(due[0], "id-1"), applied(due[1], "other")])
    assert [settled[one.id] for one in due] == [LinkVerdict.KEY_TAKEN, LinkVerdict.ID_TAKEN]
    assert await linking.states() == {"m1": "applied", "m2": "applied"}
    assert await links(database) == {"C-1": "other"}


@pytest.mark.parametrize("external_id", ["", "x" * 1025])
async def test_an_id_that_does_not_fit_is_no_link_and_stops_nothing(
    linking: Inbox, database: Database, external_id: str
) -> None:
    await linking.accept(arrival(1, "C-1"))
    (due,) = await linking.due()
    await linking.begin(due)
    assert await linking.settle(applied(due, external_id)) == {due.id}
    assert await links(database) == {}


async def test_a_flow_without_links_links_nothing(inbox: Inbox, database: Database) -> None:
    await inbox.accept(arrival(1, "C-1"))
    assert await inbox.apply_all() == ["m1"]
    assert await links(database) == {}


async def test_the_flow_of_a_real_process_fills_the_cross_reference_and_tells_what_contradicts_it(
    cli: Cli, database: Database, broker: Broker, tmp_path: Path
) -> None:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as crm:
        settings = one_flow(crm.url, bearer=DEFAULT_TOKEN)
        settings["flows"][CLI_FLOW]["links"] = {"entity": "order", "system": "crm"}  # type: ignore[index]
        cli.settings(settings)
        async with xref_session(database.server) as session:
            orders = Registry("order", "crm")
            await session.link(orders, [Pair("SO-2", "somebody else's")], Source.PERSON, who="ann", why=None)
        here = replace(cli, pg_url=database.url, amqp_url=broker.url)
        async with here.running("run") as process:
            await process.logged("lanes", held=16)
            for order in ("SO-1", "SO-2"):
                await database.value(
                    "select outbox.emit('order.confirmed', $1, json_build_object('order_ref', $1::text,"
                    " 'customer', 'C-1', 'revision', 1, 'amount', '1.00'))",
                    order,
                )
            refused = await process.logged("receipt contradicts the cross-reference")
            assert (refused["level"], refused["verdict"]) == ("error", "key_taken")
            await process.logged("attempt ended", outcome="applied", sequence=1)
    found = await links(database)
    stored = await database.value("select external_id from inbox.delivery where key = 'SO-1'")
    assert found == {"SO-1": stored, "SO-2": "somebody else's"}
    (conflict,) = (await replace(cli, pg_url=database.url)("xref", "conflicts", "--json")).json()
    assert (conflict["canonical_key"], conflict["source"], conflict["who"]) == ("SO-2", "receipt", CLI_FLOW)


async def test_a_person_who_knows_the_id_of_what_happened_links_it(linking: Inbox, database: Database) -> None:
    await linking.accept(arrival(1, "C-1"), arrival(2, "C-2"))
    for due in await linking.due():
        await linking.begin(due)
        await linking.settle(ended(due, Settlement(State.IN_DOUBT, reason="who knows", reason_class="unknown")))
    async with dead_letter_session(database.server) as session:
        ids = [row["id"] for row in await database.rows("select id from inbox.delivery order by id")]
        known = Decision(Action.HAPPENED, who="ann", why="looked it up", external_id="id-1")
        await session.resolve(FLOW, ids[:1], known)
        await session.resolve(FLOW, ids[1:], replace(known, external_id=None))
    assert await linking.states() == {"m1": "applied", "m2": "applied"}
    assert await links(database) == {"C-1": "id-1"}
    (who,) = await database.rows("select source, who, why from xref.change")
    assert tuple(who) == ("person", "ann", "looked it up")
