"""One flow from the ERP's commit to the CRM's ledger: every way a call can end, on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.crm import CrmServer
from sandbox.crm_faults import Faults, Script
from tests.kit.broker import Broker
from tests.kit.database import Database
from tests.kit.running import ALONE, FLOW, MAPPING, Integration, running
from tests.kit.waiting import until


@pytest.fixture
async def integration(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Integration]:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as crm:
        yield Integration(database, broker, crm, tmp_path)


async def _dead_letters(integration: Integration, count: int) -> list[dict[str, object]]:
    async def look() -> bool:
        return await integration.broker.depth(f"dead.{FLOW}") >= count

    await until(look, what=f"{count} dead letters")
    return [dict(letter.headers) for letter in await integration.broker.take(f"dead.{FLOW}")]


async def test_an_order_takes_effect_and_its_receipt_is_kept(integration: Integration) -> None:
    async with running(integration.settings()):
        event_id = await integration.emit("SO-1", amount="0.10")
        row = await integration.in_state(event_id, "applied")
    assert row["external_id"] == integration.crm.ledger.lines[0].deal_id
    assert integration.crm.ledger.lines[0].amount == "0.10"
    assert integration.crm.ledger.lines[0].idempotency_key == f"{FLOW}-{event_id}"
    assert await integration.outcomes(event_id) == ["applied"]


async def test_a_rejected_order_is_a_dead_letter_with_its_reason_and_blocks_its_key_only(
    integration: Integration,
) -> None:
    integration.crm.add_script(Script(order_ref="SO-1", fault="reject_422"))
    async with running(integration.settings()):
        poison = await integration.emit("SO-1", 1, customer="C-1")
        behind = await integration.emit("SO-2", 2, customer="C-1")
        other = await integration.emit("SO-3", 1, customer="C-2")
        row = await integration.in_state(poison, "dead")
        await integration.in_state(other, "applied")
        (letter,) = await _dead_letters(integration, 1)
        blocked = await integration.delivery(behind)
    assert blocked is not None
    assert blocked["state"] == "blocked"
    assert integration.effects() == ["SO-3"]
    assert "422" in row["reason"]
    assert letter["x-outbox-reason"] == row["reason"]
    assert (letter["x-outbox-reason-class"], letter["x-outbox-attempts"]) == ("rejected", 1)
    assert (letter["key"], letter["sequence"]) == ("C-1", row["sequence"])


async def test_after_so_many_failures_of_its_own_an_order_is_a_dead_letter(integration: Integration) -> None:
    """Where the target's own word is that an error means that nothing was done."""
    integration.crm.add_script(Script(order_ref="SO-1", fault="error_500"))
    async with running(integration.settings(statuses={"500": "retry"}, retry=ALONE)):
        event_id = await integration.emit("SO-1")
        row = await integration.in_state(event_id, "dead")
        (letter,) = await _dead_letters(integration, 1)
    assert (row["attempt"], row["failures"]) == (3, 3)
    assert await integration.outcomes(event_id) == ["retry"] * 3
    assert letter["x-outbox-attempts"] == 3
    assert integration.effects() == []


async def test_after_so_many_errors_of_the_target_an_order_is_parked_because_one_may_have_come_behind_the_effect(
    integration: Integration,
) -> None:
    integration.crm.add_script(Script(order_ref="SO-1", fault="error_500"))
    async with running(integration.settings(retry=ALONE)):
        event_id = await integration.emit("SO-1")

        async def is_parked() -> bool:
            row = await integration.delivery(event_id)
            return row is not None and row["state"] == "in_doubt" and row["due_at"] is None

        await until(is_parked, what="it is parked")
        row = await integration.delivery(event_id)
    assert row is not None
    assert (row["attempt"], row["failures"]) == (3, 3)
    assert "may have been applied, and the tries are used up" in row["reason"]
    assert await integration.outcomes(event_id) == ["unknown"] * 3


async def test_a_failure_that_passes_costs_a_try_and_nothing_else(integration: Integration) -> None:
    integration.crm.add_script(Script(order_ref="SO-1", fault="error_500", times=2))
    async with running(integration.settings()):
        first = await integration.emit("SO-1", 1)
        second = await integration.emit("SO-2", 2)
        await integration.in_state(second, "applied")
    assert await integration.outcomes(first) == ["unknown", "unknown", "applied"]
    assert integration.effects() == ["SO-1", "SO-2"]


@pytest.mark.parametrize(("fault", "outcome"), [("throttle_429", "throttled"), ("unavailable_503", "target_down")])
async def test_an_outage_or_throttling_is_not_the_messages_fault(
    integration: Integration, fault: str, outcome: str
) -> None:
    integration.crm.set_faults(Faults(retry_after_seconds=0))
    integration.crm.add_script(Script.model_validate({"order_ref": "SO-1", "fault": fault, "times": 6}))
    async with running(integration.settings()):
        event_id = await integration.emit("SO-1")
        row = await integration.in_state(event_id, "applied")
    assert row["failures"] == 0, "more than the three tries that the message itself has"
    assert await integration.outcomes(event_id) == [outcome] * 6 + ["applied"]


async def test_retry_after_is_obeyed(integration: Integration) -> None:
    integration.crm.set_faults(Faults(retry_after_seconds=3600))
    integration.crm.add_script(Script(order_ref="SO-1", fault="throttle_429", times=1))
    async with running(integration.settings()):
        event_id = await integration.emit("SO-1")
        row = await integration.in_state(event_id, "retry")
        wait = await integration.database.value(
            "select extract(epoch from due_at - now())::float8 from inbox.delivery where id = $1", row["id"]
        )
    assert isinstance(wait, float)
    assert 3500 < wait <= 3600


async def test_a_target_that_is_not_there_costs_nothing_and_leaves_no_doubt(integration: Integration) -> None:
    url = integration.crm.url
    connections = {"crm": {"base_url": "http://127.0.0.1:9", "bearer": "t", "timeout": "1s"}}
    async with running(integration.settings(connections=connections)):
        event_id = await integration.emit("SO-1")
        row = await integration.in_state(event_id, "retry")
    assert (row["failures"], row["first_sent_at"], row["request_sha256"]) == (0, None, None)
    assert row["reason_class"] == "target_down"
    assert integration.crm.url == url
    async with running(integration.settings()):
        await integration.in_state(event_id, "applied")
    assert integration.effects() == ["SO-1"]


async def test_a_refused_token_dead_letters_nothing(integration: Integration) -> None:
    integration.crm.set_faults(Faults(refuse_token=True))
    async with running(integration.settings()):
        event_id = await integration.emit("SO-1")

        async def tried() -> bool:
            return len(await integration.outcomes(event_id)) >= 5

        await until(tried, what="more tries than the message has")
        row = await integration.delivery(event_id)
        assert row is not None
        assert row["state"] in {"retry", "applying"}
        integration.crm.set_faults(Faults())
        await integration.in_state(event_id, "applied")
    assert integration.effects() == ["SO-1"]


@pytest.mark.parametrize("fault", ["drop_after_effect", "hang_after_effect", "garbage_200", "error_500_after_effect"])
async def test_an_answer_that_is_lost_after_the_effect_repeats_the_call_and_not_the_effect(
    integration: Integration, fault: str
) -> None:
    integration.crm.add_script(Script.model_validate({"order_ref": "SO-1", "fault": fault, "times": 1}))
    async with running(integration.settings()):
        first = await integration.emit("SO-1", 1)
        second = await integration.emit("SO-2", 2)
        row = await integration.in_state(first, "applied")
        await integration.in_state(second, "applied")
    assert len(await integration.outcomes(first)) == 2
    assert row["external_id"] == integration.crm.ledger.lines[0].deal_id
    assert integration.effects() == ["SO-1", "SO-2"]


async def test_a_doubt_that_outlives_the_window_is_parked_and_never_sent_again(integration: Integration) -> None:
    integration.crm.add_script(Script(order_ref="SO-1", fault="drop_after_effect", times=1))
    late = {"attempts": 3, "first": "2s", "max": "2s"}
    async with running(integration.settings(window="1s", retry=late)):
        event_id = await integration.emit("SO-1")

        async def parked() -> bool:
            delivery = await integration.delivery(event_id)
            return delivery is not None and delivery["state"] == "in_doubt" and delivery["due_at"] is None

        await until(parked, what="the doubt is parked")
    row = await integration.in_state(event_id, "in_doubt")
    assert "outside the target's idempotency window" in row["reason"]
    assert await integration.outcomes(event_id) == ["unknown"], "it was called once"
    assert integration.effects() == ["SO-1"]


async def test_a_changed_mapping_never_sends_another_body_under_a_used_key(integration: Integration) -> None:
    integration.crm.add_script(Script(order_ref="SO-1", fault="drop_after_effect", times=1))
    slow = {"attempts": 3, "first": "30s", "max": "30s"}
    async with running(integration.settings(retry=slow)):
        event_id = await integration.emit("SO-1")
        await integration.in_state(event_id, "in_doubt")
    await integration.database.value("update inbox.delivery set due_at = now() returning 1")
    changed = [*MAPPING[:-1], {"target_field": "currency", "default": "USD"}]
    async with running(integration.settings(mapping=changed)):

        async def parked() -> bool:
            delivery = await integration.delivery(event_id)
            return delivery is not None and delivery["due_at"] is None and "changed" in delivery["reason"]

        await until(parked, what="the delivery is parked because the request changed")
    assert integration.effects() == ["SO-1"]


async def test_a_missing_field_is_a_dead_letter_that_names_it_and_nothing_was_called(integration: Integration) -> None:
    async with running(integration.settings()):
        event_id = await integration.emit("SO-1", amount=None)
        row = await integration.in_state(event_id, "dead")
        (letter,) = await _dead_letters(integration, 1)
    assert row["reason"] == "field 'amount': is missing"
    assert letter["x-outbox-reason-class"] == "mapping"
    assert (row["attempt"], await integration.outcomes(event_id)) == (0, [])


async def test_a_foreign_message_in_the_queue_is_a_dead_letter_and_the_flow_goes_on(integration: Integration) -> None:
    from aio_pika import Message  # noqa: PLC0415 - the one test that plays a foreign producer

    async with running(integration.settings()):
        first = await integration.emit("SO-1", 1)
        await integration.in_state(first, "applied")
        async with integration.broker.channel() as channel:
            exchange = await channel.get_exchange("outbox.events")
            await exchange.publish(Message(b"\x00\xff", headers={"key": "C-1", "n": [1]}), "order.confirmed")
            await exchange.publish(Message(b"{}", message_id="x", headers={"sequence": "1"}), "order.confirmed")
        letters = await _dead_letters(integration, 2)
        second = await integration.emit("SO-2", 2)
        await integration.in_state(second, "applied")
    assert {letter["x-outbox-reason-class"] for letter in letters} == {"not_an_envelope"}
    assert all("header sequence is missing" in str(letter["x-outbox-reason"]) for letter in letters)
    assert integration.effects() == ["SO-1", "SO-2"]
