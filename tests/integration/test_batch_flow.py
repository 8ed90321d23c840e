"""Many records in one call on real servers: each takes effect once, whatever becomes of the call or its neighbours."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.crm import CrmServer
from sandbox.crm_faults import Faults, Script
from tests.kit.broker import Broker
from tests.kit.database import Database
from tests.kit.running import Integration, running
from tests.kit.waiting import until

BATCH: dict[str, object] = {
    "max": 10,
    "records": "inputs",
    "results": "results",
    "match": {"result": "ref", "record": "external_ref"},
    "status": "status",
    "external_id": "id",
}
OPERATION: dict[str, object] = {"method": "POST", "path": "/batches", "batch": BATCH}
ADAPTER: dict[str, object] = {
    "use": "rest",
    "connection": "crm",
    "idempotency": {"window": "24h", "margin": "100ms", "field": "key"},
    "operations": {"order.confirmed": OPERATION},
}
COUNT = 30


@pytest.fixture
async def integration(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Integration]:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl", faults=Faults(hang_seconds=2)) as crm:
        yield Integration(database, broker, crm, tmp_path)


_REFUSED = {"SO-3", "SO-23"}


async def _emit_all(integration: Integration, **changes: dict[str, object]) -> dict[str, str]:
    refs = [f"SO-{number}" for number in range(COUNT)]
    return {ref: await integration.emit(ref, customer=f"C-{ref}", **changes.get(ref, {})) for ref in refs}


async def test_records_take_effect_together_and_each_keeps_its_own_receipt(integration: Integration) -> None:
    events = await _emit_all(integration)
    async with running(integration.settings(adapter=ADAPTER)):
        for ref, event_id in events.items():
            row = await integration.in_state(event_id, "applied")
            (line,) = integration.crm.ledger.deals_of(ref)
            assert row["external_id"] == line.deal_id

    assert integration.crm._deals.counts["batches"] < COUNT / 2
    assert Counter(integration.effects()) == Counter(set(events))


async def test_lost_answers_and_refused_records_cost_nobody_an_effect_or_a_second_one(integration: Integration) -> None:
    for ref, fault, times in (
        ("SO-3", "reject_422", None),
        ("SO-5", "error_500_after_effect", 1),
        ("SO-7", "drop_after_effect", 1),
        ("SO-11", "hang_after_effect", 1),
        ("SO-13", "garbage_200", 1),
        ("SO-17", "throttle_429", 1),
        ("SO-19", "html_200", 1),
    ):
        integration.crm.add_script(Script(order_ref=ref, fault=fault, times=times))
    # Not a number with two digits: the call that holds it is refused as a whole.
    events = await _emit_all(integration, **{"SO-23": {"amount": "a lot"}})
    async with running(integration.settings(adapter=ADAPTER)):
        for ref, event_id in events.items():
            if ref not in _REFUSED:
                await integration.in_state(event_id, "applied")
        for ref in _REFUSED:
            await until(lambda ref=ref: _is_over(integration, events[ref]), what=f"{ref} is dead or parked")

    assert Counter(integration.effects()) == Counter(set(events) - _REFUSED)


async def _is_over(integration: Integration, event_id: str) -> bool:
    """Say whether a person has to act: after an answer that was lost a refusal does not end the doubt."""
    row = await integration.delivery(event_id)
    return row is not None and row["due_at"] is None and row["state"] in ("dead", "in_doubt")


async def test_a_record_at_which_every_call_breaks_off_holds_up_nobody_else(integration: Integration) -> None:
    integration.crm.add_script(Script(order_ref="SO-17", fault="drop_before_effect"))
    adapter = ADAPTER | {"operations": {"order.confirmed": OPERATION | {"batch": BATCH | {"max": COUNT}}}}
    # Committed before anything runs, so that they share calls.
    events = await _emit_all(integration)
    async with running(integration.settings(adapter=adapter)):
        for ref in set(events) - {"SO-17"}:
            applied = await integration.in_state(events[ref], "applied")
            assert applied["attempt"] <= 2, "one with the others, and one alone"
        row = await integration.delivery(events["SO-17"])
        # A call is one sign of trouble, however many it was for.
        assert await integration.database.value("select max(openings) from inbox.circuit") == 0
    assert row is not None
    assert row["state"] in ("in_doubt", "applying")
    assert Counter(integration.effects()) == Counter(set(events) - {"SO-17"})


@pytest.mark.parametrize("is_atomic", [False, True])
async def test_without_a_strategy_records_of_a_refused_call_are_tried_again_only_if_it_did_nothing(
    integration: Integration, *, is_atomic: bool
) -> None:
    operation = OPERATION | {"recovery": "none", "batch": BATCH | {"max": COUNT, "atomic": is_atomic}}
    adapter = ADAPTER | {"operations": {"order.confirmed": operation}}
    # Committed before anything runs, so that they share calls.
    events = await _emit_all(integration, **{"SO-23": {"amount": "a lot"}})
    # One try for each: what a delivery pays for others is not counted.
    async with running(integration.settings(adapter=adapter, retry={"attempts": 1, "first": "20ms", "max": "50ms"})):
        states = await until(lambda: _ends(integration, events), what="every event has ended or is parked")
    parked = {ref for ref, state in states.items() if state == "in_doubt"}
    if is_atomic:
        assert (parked, states["SO-23"]) == (set(), "dead")
    else:
        assert "SO-23" in parked
        assert len(parked) > 1
    assert Counter(integration.effects()) == Counter(set(events) - parked - {"SO-23"})


async def _ends(integration: Integration, events: dict[str, str]) -> dict[str, str]:
    """Return how the deliveries have ended, nothing while some have not."""
    rows = await integration.database.rows("select message_id, state from inbox.delivery where due_at is null")
    states = {row["message_id"]: row["state"] for row in rows if row["state"] != "applying"}
    return {ref: states[event_id] for ref, event_id in events.items()} if len(states) == len(events) else {}
