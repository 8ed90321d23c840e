"""Orders that have their customer created first, through real flows of one CRM."""

from __future__ import annotations

import asyncpg

from outbox.app import Roles
from outbox.config.settings import Settings
from outbox.model.dead_letters import Action, Decision
from outbox.postgres.dead_letters import dead_letter_session
from sandbox.crm_faults import Fault, Faults, Script
from tests.kit.linked_flows import CUSTOMERS, LinkedFlows
from tests.kit.running import running
from tests.kit.waiting import until


def creating(flows: LinkedFlows, **xref: object) -> Settings:
    return flows.settings(missing="create_first", flow=CUSTOMERS, **xref)


async def asked(flows: LinkedFlows) -> list[asyncpg.Record]:
    return await flows.site.database.rows("select * from inbox.replay order by id")


async def test_a_customer_whose_link_is_gone_is_created_first_and_then_its_order(flows: LinkedFlows) -> None:
    async with running(creating(flows)):
        for revision in (1, 2):
            customer = await flows.customer("C-1", revision)
            await flows.site.in_state(customer, "applied")
        await flows.unlink("C-1")
        order = await flows.order("SO-1", "C-1")
        made = await flows.site.in_state(order, "applied")

    (audit,) = await asked(flows)
    assert (audit["flow"], audit["asked_by"], audit["key"], audit["replayed"]) == (CUSTOMERS, made["flow"], "C-1", 1)
    again = await flows.site.database.rows(
        "select external_id from inbox.delivery where message_id = $1 order by generation", customer
    )
    assert [(line.order_ref, line.revision) for line in flows.site.crm.ledger.lines] == [
        ("C-1", 1),
        ("C-1", 2),
        ("C-1", 2),
        ("SO-1", 1),
    ]
    assert flows.effects()[-1] == ("SO-1", again[-1]["external_id"])


async def test_many_orders_of_two_replicas_have_their_customer_created_once(flows: LinkedFlows) -> None:
    settings = creating(flows)
    async with running(settings), running(settings, Roles(is_relay=False, is_consumer=True)):
        customer = await flows.customer("C-1")
        await flows.site.in_state(customer, "applied")
        await flows.unlink("C-1")
        orders = [await flows.order_by_itself(f"SO-{number}", "C-1") for number in range(30)]
        for order in orders:
            await flows.site.in_state(order, "applied")

    assert len(await asked(flows)) == 1
    assert [ref for ref, _ in flows.effects()].count("C-1") == 2
    assert len({customer for ref, customer in flows.effects() if ref.startswith("SO")}) == 1


async def test_a_customer_that_the_target_refuses_is_left_to_a_person_while_its_order_waits(flows: LinkedFlows) -> None:
    refused = Script(order_ref="C-1", fault=Fault.REJECT_422, times=1)
    flows.site.crm.add_script(refused)
    async with running(creating(flows)):
        customer = await flows.customer("C-1")
        row = await flows.site.in_state(customer, "dead")
        order = await flows.order("SO-1", "C-1")
        other = await flows.order("SO-2", "C-2")
        waits = await flows.waits(order, f"in flow {CUSTOMERS} it waits for a person")
        assert waits["attempt"] == 0
        assert await asked(flows) == []

        await flows.customer("C-2")
        await flows.site.in_state(other, "applied")
        async with dead_letter_session(flows.site.database.server) as desk:
            await desk.resolve(CUSTOMERS, [row["id"]], Decision(Action.RETRY, who="ann"))
        await flows.site.in_state(order, "applied")
    assert await asked(flows) == []


async def test_a_customer_that_is_refused_when_it_is_created_again_makes_the_order_say_so(flows: LinkedFlows) -> None:
    async with running(creating(flows, within="3s")):
        customer = await flows.customer("C-1")
        await flows.site.in_state(customer, "applied")
        await flows.unlink("C-1")
        flows.site.crm.add_script(Script(order_ref="C-1", fault=Fault.REJECT_422, times=1))
        order = await flows.order("SO-1", "C-1")
        row = await flows.site.in_state(order, "dead")
    assert f"s for it, and in flow {CUSTOMERS} it waits for a person (outbox dead list" in row["reason"]
    assert len(await asked(flows)) == 1


async def test_an_outage_that_is_longer_than_the_wait_makes_no_dead_letter_of_an_order_whose_customer_is_under_way(
    flows: LinkedFlows,
) -> None:
    flows.site.crm.set_faults(Faults(shares={Fault.UNAVAILABLE_503: 1.0}, retry_after_seconds=0))
    async with running(creating(flows, within="300ms")):
        customer = await flows.customer("C-1")
        await until(lambda: flows.site.delivery(customer), what="the customer is under way")
        order = await flows.order("SO-1", "C-1")

        async def has_waited_too_long() -> bool:
            row = await flows.site.delivery(order)
            assert row is None or row["state"] != "dead", row["reason"]
            return bool(
                await flows.site.database.value(
                    "select exists (select from inbox.delivery d where d.message_id = $1"
                    " and d.waits_until < clock_timestamp() and d.look_at > d.waits_until + interval '500 ms')",
                    order,
                )
            )

        await until(has_waited_too_long, what="the order has waited for longer than its rule says")
        flows.site.crm.set_faults(Faults())
        await flows.site.in_state(order, "applied")
    assert [ref for ref, _ in flows.effects()] == ["C-1", "SO-1"]


async def test_a_customer_of_which_nobody_has_told_makes_a_dead_letter_that_says_so(flows: LinkedFlows) -> None:
    async with running(creating(flows, within="1500ms")):
        order = await flows.order("SO-1", "C-1")
        row = await flows.site.in_state(order, "dead")
    assert f"and the newest events of the outbox have none of it for flow {CUSTOMERS}. Link it" in row["reason"]


async def test_a_customer_that_comes_by_itself_is_not_created_twice(flows: LinkedFlows) -> None:
    async with running(creating(flows)):
        order = await flows.order("SO-1", "C-1")
        await flows.waits(order, "the newest events of the outbox have none of it")
        await flows.customer("C-1")
        await flows.site.in_state(order, "applied")
    assert [ref for ref, _ in flows.effects()] == ["C-1", "SO-1"]
    assert await asked(flows) == []


async def test_a_flow_that_never_had_the_customer_gets_its_event_out_of_the_outbox(flows: LinkedFlows) -> None:
    settings = creating(flows)
    both = settings.flows
    without = settings.model_copy(update={"flows": {name: flow for name, flow in both.items() if name != CUSTOMERS}})
    async with running(without, Roles(is_relay=True, is_consumer=False)):
        # Nothing is bound for it yet.
        await flows.customer("C-1")

        async def is_published() -> bool:
            return bool(
                await flows.site.database.value(
                    "select bool_and(outbox.is_passed(e.id, e.tx, c.previous, c.current, c.position, c.horizon))"
                    " from outbox.event e, outbox.cursor c"
                )
            )

        await until(is_published, what="the customer is published")
    async with running(settings):
        order = await flows.order("SO-1", "C-1")
        await flows.site.in_state(order, "applied")
    (audit,) = await asked(flows)
    assert (audit["missing_only"], audit["replayed"]) == (True, 1)
    assert [ref for ref, _ in flows.effects()] == ["C-1", "SO-1"]
