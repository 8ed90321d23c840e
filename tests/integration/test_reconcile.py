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
        "operations": {"order.confirmed": {"method": "POST", "path": "/deals", "external_id": "deal.id"}},
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
