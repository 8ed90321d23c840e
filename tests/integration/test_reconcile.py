"""Totals from the outbox to the target: a pipe that is all green, and a target that has silently dropped a record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from outbox.config.settings import Settings
from outbox.flow.reconciler import reconcile
from outbox.model.outcome import NotTold
from outbox.model.reconciliation import Place, Reconciliation, Verdict
from outbox.model.totals import Window
from outbox.postgres.reconcile import ReconcileStore
from outbox.wiring_reconcile import subject_of
from outbox.wiring_targets import adapters_of
from sandbox.crm import CrmServer
from sandbox.crm_faults import Script
from tests.kit.broker import Broker
from tests.kit.database import Database
from tests.kit.running import FLOW, RETRY, Integration, running

LIST = {
    "path": "/reports/deals", "query": {"from": "{from}", "to": "{to}"}, "page": "page", "records": "deals",
    "external_id": "id", "amount": "amount", "currency": "currency", "dates": "record",
}  # fmt: skip
AMOUNTS = {"amount": "amount", "currency": "currency"}


@pytest.fixture
async def integration(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Integration]:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as crm:
        yield Integration(database, broker, crm, tmp_path)


def settings_for(integration: Integration, reconcile: Mapping[str, object] | None = None, **totals: object) -> Settings:
    asked = {name: value for name, value in (LIST | totals).items() if value is not None}
    adapter = {
        "use": "rest",
        "connection": "crm",
        "idempotency": {"window": "24h", "margin": "100ms"},
        "totals": asked,
        "operations": {
            "order.confirmed": {
                "method": "POST",
                "path": "/deals",
                "external_id": "deal.id",
                "reference": "external_ref",
            }
        },
    }
    owner = {"business": "sales-ops@example.com", "technical": "it@example.com"}
    flow = {"reconcile": AMOUNTS | dict(reconcile or {}), "owner": owner, "runbook": "docs/runbooks/orders.md"}
    return integration.settings(retry=RETRY, adapter=adapter, flow=flow)


async def reconciled(integration: Integration, settings: Settings, hours: float = 1) -> Reconciliation:
    """Reconcile what was written in the last hours."""
    adapter = adapters_of(settings)[FLOW]

    async def nothing() -> None:
        pass

    try:
        async with ReconcileStore(integration.database.server).session() as session:
            now = await session.now()
            window = Window(now - timedelta(hours=hours), now + timedelta(seconds=1))
            found = await reconcile(subject_of(FLOW, settings.flows[FLOW]), window, session, adapter, nothing)
    finally:
        await adapter.close()
    assert not isinstance(found, NotTold), found
    return found


def totals(result: Reconciliation) -> dict[str, dict[str, tuple[int, str]]]:
    found: dict[str, dict[str, tuple[int, str]]] = {}
    for row in result.rows:
        found.setdefault(row.place, {})[row.currency] = (row.sum.count, f"{row.sum.amount:f}")
    return found


async def test_a_target_that_silently_dropped_a_record_is_found_while_everything_is_green(
    integration: Integration,
) -> None:
    settings = settings_for(integration)
    async with running(settings) as app:
        ids = [
            await integration.emit(f"SO-{number}", customer=f"C-{number}", amount=f"{number}.10", currency="EUR")
            for number in range(1, 61)
        ]
        for event_id in ids:
            await integration.in_state(event_id, "applied")
        before = await reconciled(integration, settings)
        integration.crm.lose("SO-7")
        after = await reconciled(integration, settings)
        assert app.supervisor is not None
    assert (before.verdict, before.counts, before.differences) == (Verdict.AGREES, {}, [])
    whole = {"EUR": (60, "1836.00")}
    assert totals(before) == dict.fromkeys(("committed", "published", "applied", "target"), whole)
    assert after.verdict is Verdict.DISAGREES
    assert totals(after)["applied"] == whole
    assert totals(after)["target"] == {"EUR": (59, "1828.90")}
    (lost,) = after.differences
    assert (lost.place, lost.event_id, lost.here) == (Place.LOST, ids[6], "7.10")
    row = await integration.delivery(ids[6])
    assert row is not None
    assert lost.name == row["external_id"]


async def test_a_target_that_only_counts_or_knows_our_references_is_compared_too(integration: Integration) -> None:
    by_reference = settings_for(integration, external_id=None, reference="external_ref")
    counting = settings_for(
        integration, path="/reports/totals", page=None, records=None, external_id=None, count="meta.count",
        amount=None, currency=None, dates=None,
    )  # fmt: skip
    async with running(by_reference):
        ids = [
            await integration.emit(f"SO-{n}", customer=f"C-{n}", amount="-0.10", currency=("EUR", "USD")[n % 2])
            for n in range(4)
        ]
        for event_id in ids:
            await integration.in_state(event_id, "applied")
        for settings in (by_reference, counting):
            assert (await reconciled(integration, settings)).verdict is Verdict.AGREES
        integration.crm.lose("SO-2")
        named = await reconciled(integration, by_reference)
        counted = await reconciled(integration, counting)
    assert [(one.place, one.event_id, one.name) for one in named.differences] == [(Place.LOST, ids[2], "SO-2")]
    assert totals(named)["target"] == {"EUR": (1, "-0.10"), "USD": (2, "-0.20")}
    assert (counted.verdict, counted.count("applied"), counted.count("target")) == (Verdict.DISAGREES, 4, 3)


async def test_a_dead_letter_makes_a_window_late_with_its_next_step_and_is_not_lost(
    integration: Integration,
) -> None:
    settings = settings_for(integration)
    integration.crm.add_script(Script(order_ref="SO-1", fault="reject_422", times=1))
    async with running(settings):
        refused = await integration.emit("SO-1", customer="C-1", amount="7.00", currency="EUR")
        await integration.in_state(refused, "dead")
        applied = await integration.emit("SO-2", customer="C-2", amount="5.00", currency="EUR")
        await integration.in_state(applied, "applied")
        before = await reconciled(integration, settings)
    assert before.verdict is Verdict.LATE
    assert [(one.place, one.event_id, one.here) for one in before.differences] == [(Place.DEAD, refused, "7.00")]
    assert "outbox dead" in before.differences[0].next_step
