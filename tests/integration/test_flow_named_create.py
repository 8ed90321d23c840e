"""A name of ours that is taken: the record in the target says whether it is ours; never taken for done unread."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from outbox.app import Roles
from outbox.config.settings import Settings
from sandbox.crm import CrmServer
from sandbox.crm_faults import Faults, Script
from sandbox.crm_ledger import NewDeal
from tests.kit.broker import Broker
from tests.kit.database import Database
from tests.kit.running import RETRY, Integration, running

SAME = {"deal.customer": "{customer}", "deal.amount": {"decimal": "{amount}"}}
CONSUMER = Roles(is_relay=False, is_consumer=True)


@pytest.fixture
async def integration(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Integration]:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl", faults=Faults(hang_seconds=0.2)) as crm:
        yield Integration(database, broker, crm, tmp_path)


def settings_for(integration: Integration, *, settle: str = "0s", path: str = "/named/deals/{reference}") -> Settings:
    look_up = {"path": path, "external_id": "deal.id", "same": SAME}
    return integration.settings(
        retry=RETRY,
        adapter={
            "use": "rest",
            "connection": "crm",
            "statuses": {"409": "already_applied"},
            "operations": {
                "order.confirmed": {
                    "method": "POST",
                    "path": "/named/deals",
                    "recovery": "named_create",
                    "reference": "external_ref",
                    "external_id": "deal.id",
                    "settle": settle,
                    "look_up": look_up,
                }
            },
        },
    )


def exists(integration: Integration, ref: str, *, customer: str = "C-1", amount: str = "10.0") -> str:
    """Put somebody else's record of this name into the target; return its id."""
    ledger, clock = integration.crm.ledger, integration.crm.clock
    deal = NewDeal(ref, customer, 1, amount, "EUR")
    return ledger.append(deal, idempotency_key=f"theirs-{ref}", body_sha256="", at=clock.now()).deal_id


async def test_a_record_of_our_name_that_is_what_was_sent_is_ours(integration: Integration) -> None:
    deal_id = exists(integration, "SO-1")
    async with running(settings_for(integration)):
        event_id = await integration.emit("SO-1")
        row = await integration.in_state(event_id, "applied")
    assert integration.effects() == ["SO-1"]
    assert row["external_id"] == deal_id
    assert await integration.outcomes(event_id) == ["already_applied", "present"]


async def test_another_record_of_our_name_is_never_called_applied(integration: Integration) -> None:
    exists(integration, "SO-1", customer="C-strange", amount="99.99")
    async with running(settings_for(integration)):
        event_id = await integration.emit("SO-1")
        row = await integration.in_state(event_id, "dead")
        next_id = await integration.emit("SO-2", customer="C-2")
        await integration.in_state(next_id, "applied")
    assert integration.effects() == ["SO-1", "SO-2"]
    assert (row["reason_class"], row["external_id"]) == ("rejected", None)
    assert "has another deal.customer, deal.amount" in row["reason"]
    assert "99.99" not in row["reason"]
    assert "C-strange" not in row["reason"]
    assert await integration.outcomes(event_id) == ["already_applied", "different"]


async def test_after_a_call_without_an_answer_the_record_is_read_and_not_created_again(
    integration: Integration,
) -> None:
    integration.crm.add_script(Script(order_ref="SO-1", fault="drop_after_effect", times=1))
    async with running(settings_for(integration)):
        event_id = await integration.emit("SO-1")
        row = await integration.in_state(event_id, "applied")
    assert integration.effects() == ["SO-1"]
    assert row["external_id"] == integration.crm.ledger.lines[0].deal_id
    assert await integration.outcomes(event_id) == ["unknown", "present"]


async def test_a_process_that_ends_between_refusal_and_read_back_leaves_it_to_the_next(
    integration: Integration, database: Database
) -> None:
    deal_id = exists(integration, "SO-1")
    async with running(settings_for(integration, settle="1h")):
        event_id = await integration.emit("SO-1")
        row = await integration.in_state(event_id, "in_doubt")
    assert (row["parked_at"], row["external_id"]) == (None, None)
    await database.value(
        "update inbox.delivery set due_at = now(), last_sent_at = last_sent_at - interval '1 hour'"
        " where message_id = $1 returning id",
        event_id,
    )
    async with running(settings_for(integration, settle="1h"), CONSUMER):
        row = await integration.in_state(event_id, "applied")
    assert row["external_id"] == deal_id
    assert integration.effects() == ["SO-1"]


async def test_a_name_that_is_taken_by_what_the_target_does_not_show_ends_with_a_person(
    integration: Integration,
) -> None:
    exists(integration, "SO-1")
    async with running(settings_for(integration, path="/named/deals/not-{reference}")):
        event_id = await integration.emit("SO-1")
        row = await integration.parked(event_id)
    assert (row["state"], integration.effects()) == ("in_doubt", ["SO-1"])
    assert "does not show it" in row["reason"]
