"""Several versions of a type at once: a flow knows one of them, and what is another is brought there, or told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from outbox.model.errors import ExitCode
from sandbox.crm import CrmServer
from tests.kit.broker import Broker
from tests.kit.cli import FLOW, one_flow
from tests.kit.database import Database
from tests.kit.running import MAPPING, Integration, running
from tests.kit.verbs import Verbs

# What version 2 calls order_ref and customer.
RENAMED = [
    {"source_field": "order_ref", "target_field": "order.reference", "required": True},
    {"source_field": "customer", "target_field": "order.customer", "required": True},
    *({"source_field": name, "target_field": f"order.{name}"} for name in ("revision", "amount", "currency")),
]
BACK = [
    *({"source_field": f"order.{name}", "target_field": name} for name in ("customer", "revision", "amount")),
    {"source_field": "order.reference", "target_field": "order_ref", "required": True},
]
OF_VERSION_2 = [
    {"source_field": "order.reference", "target_field": "external_ref", "required": True},
    *({"source_field": f"order.{name}", "target_field": name} for name in ("customer", "revision", "amount")),
    {"source_field": "order.currency", "target_field": "currency", "default": "EUR"},
]


@pytest.fixture
async def integration(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Integration]:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as crm:
        yield Integration(database, broker, crm, tmp_path)


async def emit(database: Database, version: int, ref: str) -> str:
    order: dict[str, object] = {"customer": f"C-{ref}", "revision": 1, "amount": "0.10"}
    payload = {"order_ref": ref} | order if version == 1 else {"order": {"reference": ref} | order}
    event_id = await database.value(
        "insert into outbox.event (type, version, key, payload) values ('order.confirmed', $1, $2, $3::text::json)"
        " returning event_id",
        version,
        f"C-{ref}",
        json.dumps(payload),
    )
    return str(event_id)


async def test_older_events_are_brought_to_the_version_that_a_flow_knows(integration: Integration) -> None:
    settings = integration.settings(
        flow={"events": ["order.confirmed@2"]},
        mapping=OF_VERSION_2,
        upcasters={"order.confirmed@1": {"to": 2, "mapping": RENAMED}},
    )

    async with running(settings):
        events = [await emit(integration.database, version, f"SO-{version}") for version in (1, 2)]
        for event_id in events:
            await integration.in_state(event_id, "applied")

    assert sorted(integration.effects()) == ["SO-1", "SO-2"]


async def test_a_flow_that_knows_only_version_1_keeps_working(integration: Integration) -> None:
    settings = integration.settings(
        flow={"events": ["order.confirmed@1"]},
        mapping=MAPPING,
        downcasters={"order.confirmed@2": {"to": 1, "mapping": BACK}},
    )

    async with running(settings):
        events = [await emit(integration.database, version, f"SO-{version}") for version in (1, 2)]
        for event_id in events:
            await integration.in_state(event_id, "applied")

    assert sorted(integration.effects()) == ["SO-1", "SO-2"]


async def test_a_version_that_a_flow_does_not_know_is_a_dead_letter_that_says_so(integration: Integration) -> None:
    settings = integration.settings(flow={"events": ["order.confirmed@1"]}, mapping=MAPPING)

    async with running(settings):
        unknown, known = [await emit(integration.database, version, f"SO-{version}") for version in (2, 1)]
        parked = await integration.in_state(unknown, "dead")
        await integration.in_state(known, "applied")

    assert (
        "is order.confirmed@2, this flow takes version 1, and no upcaster or downcaster leads there"
        in (parked["reason"])
    )
    assert integration.effects() == ["SO-1"]


async def test_another_mapping_is_compared_by_the_events_of_a_flow_that_names_a_version(
    database: Database, tmp_path: Path
) -> None:
    outbox = Verbs(tmp_path, database.url)
    sections = one_flow()
    sections["flows"][FLOW] |= {"events": ["order.confirmed@2"], "mapping": OF_VERSION_2}  # type: ignore[index]
    outbox.settings(sections)
    event = await emit(database, 2, "SO-2")
    new = tmp_path / "new.json"
    new.write_text(json.dumps([*OF_VERSION_2, {"target_field": "stage", "default": "won"}]), encoding="utf-8")

    shown = await outbox("map", FLOW, "--diff", str(new))
    told = json.loads((await outbox("map", FLOW, "--diff", str(new), "--format", "json")).out)

    assert shown.code == ExitCode.CHECK_FAILED
    assert "events of another version than the flow takes were mapped as they were written" in shown.out
    assert [(one["path"], one["events"]) for one in told["fields"]] == [("stage", [event])]
