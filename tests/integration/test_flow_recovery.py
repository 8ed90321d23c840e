"""A call whose end nobody knows, for every strategy: one effect, or one parked delivery; never none, never two."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from outbox.config.settings import Settings
from sandbox.crm import CrmServer
from sandbox.crm_faults import Faults, Script
from tests.kit.broker import Broker
from tests.kit.database import Database
from tests.kit.running import ALONE, RETRY, Integration, running

LOOK_UP = {
    "path": "/deals", "query": {"external_ref": "{reference}"}, "records": "deals", "external_id": "id",
}  # fmt: skip
KEY = {"header": "Idempotency-Key", "window": "24h", "margin": "100ms"}
STYLES: dict[str, dict[str, object]] = {
    "idempotency_key": {"path": "/deals"},
    "upsert": {"method": "PUT", "path": "/upserts/{external_ref}", "recovery": "upsert", "settle": "0s"},
    "named_create": {
        "path": "/named/deals", "recovery": "named_create", "reference": "external_ref", "settle": "0s",
    },
    "look_up": {
        "path": "/unkeyed/deals", "recovery": "look_up", "reference": "external_ref", "settle": "0s",
        "look_up": LOOK_UP,
    },
    "job": {
        "path": "/jobs",
        "recovery": "job",
        "external_id": None,
        "job": {"status": "state", "applied": ["done"], "external_id": "result.id", "poll": "20ms"},
    },
}  # fmt: skip
KEYED = {"idempotency_key", "job"}


@pytest.fixture
async def integration(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Integration]:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl", faults=Faults(hang_seconds=0.2)) as crm:
        yield Integration(database, broker, crm, tmp_path)


def settings_for(
    integration: Integration,
    style: str,
    *,
    key: Mapping[str, str] = KEY,
    retry: Mapping[str, object] = RETRY,
    **changes: object,
) -> Settings:
    operation = {"method": "POST", "external_id": "deal.id"} | STYLES[style] | changes
    statuses: Mapping[str, str] = {"409": "already_applied"} if style == "named_create" else {}
    return integration.settings(
        retry=retry,
        adapter={
            "use": "rest",
            "connection": "crm",
            "idempotency": key if style in KEYED else None,
            "statuses": statuses,
            "operations": {"order.confirmed": {name: value for name, value in operation.items() if value is not None}},
        },
    )


@pytest.mark.parametrize("style", STYLES)
async def test_without_trouble_an_order_takes_effect_once(integration: Integration, style: str) -> None:
    async with running(settings_for(integration, style)):
        event_id = await integration.emit("SO-1")
        row = await integration.in_state(event_id, "applied")
    assert integration.effects() == ["SO-1"]
    assert row["external_id"] == integration.crm.ledger.lines[0].deal_id


@pytest.mark.parametrize("fault", ["drop_after_effect", "garbage_200", "hang_after_effect", "error_500_after_effect"])
@pytest.mark.parametrize("style", STYLES)
async def test_an_effect_whose_answer_is_lost_happens_once(integration: Integration, style: str, fault: str) -> None:
    integration.crm.add_script(Script.model_validate({"order_ref": "SO-1", "fault": fault, "times": 1}))
    async with running(settings_for(integration, style)):
        event_id = await integration.emit("SO-1")
        row = await integration.in_state(event_id, "applied")
    assert integration.effects() == ["SO-1"]
    assert row["external_id"] == integration.crm.ledger.lines[0].deal_id


@pytest.mark.parametrize("style", STYLES)
async def test_a_call_that_was_lost_before_its_effect_is_made_good(integration: Integration, style: str) -> None:
    integration.crm.add_script(Script(order_ref="SO-1", fault="drop_before_effect", times=2))
    async with running(settings_for(integration, style)):
        event_id = await integration.emit("SO-1")
        await integration.in_state(event_id, "applied")
    assert integration.effects() == ["SO-1"]


async def test_a_target_that_commits_late_is_not_asked_too_early(integration: Integration) -> None:
    """The request waits in the target while its client has given up: "absent" would be a lie until the time is over."""
    integration.crm.add_script(Script(order_ref="SO-1", fault="hold_before_effect", times=1))
    async with running(settings_for(integration, "look_up", settle="3s")):
        event_id = await integration.emit("SO-1")
        await integration.in_state(event_id, "in_doubt")
        await integration.crm.gate.arrived(1)
        integration.crm.gate.release()
        await integration.in_state(event_id, "applied")
    assert integration.effects() == ["SO-1"]
    assert await integration.outcomes(event_id) == ["unknown", "present"]


async def test_past_its_window_a_key_is_looked_up_where_the_target_can_be_asked(integration: Integration) -> None:
    integration.crm.add_script(Script(order_ref="SO-1", fault="hang_after_effect", times=1))
    changes = {"look_up": LOOK_UP, "reference": "external_ref", "settle": "0s"}
    # The window is over before the first answer would have come.
    key = {"header": "Idempotency-Key", "window": "200ms", "margin": "150ms"}
    async with running(settings_for(integration, "idempotency_key", key=key, **changes)):
        event_id = await integration.emit("SO-1")
        await integration.in_state(event_id, "applied")
    assert integration.effects() == ["SO-1"]
    assert await integration.outcomes(event_id) == ["unknown", "present"]


async def test_a_target_that_never_answers_the_question_leaves_it_to_a_person(integration: Integration) -> None:
    integration.crm.add_script(Script(order_ref="SO-1", fault="drop_after_effect", times=1))
    nonsense = {"path": "/unkeyed/deals", "query": {"ref": "{reference}"}, "records": "deals"}
    async with running(settings_for(integration, "look_up", retry=ALONE, look_up=nonsense)):
        event_id = await integration.emit("SO-1")
        row = await integration.parked(event_id)
    assert (row["state"], row["failures"]) == ("in_doubt", 3)
    assert "tries are used up: GET /unkeyed/deals: answered 405" in row["reason"]
    assert await integration.outcomes(event_id) == ["unknown", "retry", "retry", "retry"]


async def test_a_job_that_is_never_over_is_left_to_a_person(integration: Integration) -> None:
    job = {"status": "state", "applied": ["never"], "poll": "20ms", "longest": "100ms"}
    async with running(settings_for(integration, "job", job=job)):
        event_id = await integration.emit("SO-1")
        row = await integration.parked(event_id)
    assert (row["state"], row["reason_class"]) == ("in_doubt", "accepted")
    assert "job is not over" in row["reason"]
