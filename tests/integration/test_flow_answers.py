"""Answers that do not prove that nothing was done: no second effect, and no other key for what may be under way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
from aiohttp import web

from sandbox.crm import CrmServer
from tests.contract.rest_loopback import target
from tests.kit.broker import Broker
from tests.kit.database import Database
from tests.kit.running import Integration, running
from tests.kit.waiting import until


@dataclass
class Gateway:
    """Answers a POST with the next of ``statuses``, then with 201; whatever it says, the request has taken effect.

    A GET is answered with what has taken effect.
    """

    statuses: list[int]
    keys: list[str] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            self.asked += 1
            return web.json_response({"deals": [{"id": "D-1"}] if self.keys else []})
        self.keys.append(request.headers.get("Idempotency-Key", ""))
        status = self.statuses.pop(0) if self.statuses else 201
        return web.json_response({"id": "D-1"}, status=status, headers=self.headers if status > 201 else None)


@pytest.fixture
async def integration(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Integration]:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as crm:
        yield Integration(database, broker, crm, tmp_path)


@asynccontextmanager
async def told(integration: Integration, gateway: Gateway, **adapter: object) -> AsyncIterator[None]:
    operation = {"method": "POST", "path": "/deals", "external_id": "id", "reference": "external_ref", "settle": "0s"}
    operation |= adapter.pop("operation", {})  # type: ignore[operator]
    async with target(gateway.answer) as url:
        settings = integration.settings(
            connections={"crm": {"base_url": url, "timeout": "5s"}},
            adapter={"use": "rest", "connection": "crm", "operations": {"order.confirmed": operation}} | adapter,
            retry={"attempts": 5, "first": "20ms", "max": "50ms"},
        )
        async with running(settings):
            yield


async def parked(integration: Integration, event_id: str) -> asyncpg.Record:
    async def look() -> asyncpg.Record | None:
        row = await integration.delivery(event_id)
        return row if row is not None and row["state"] == "in_doubt" and row["due_at"] is None else None

    row = await until(look, what="the delivery is parked for a person")
    assert row is not None
    return row


CACHING = {"window": "1h", "caches_errors": True}
LOOK_UP = {"path": "/deals", "query": {"ref": "{reference}"}, "records": "deals", "external_id": "id"}


async def test_what_a_gateway_has_passed_on_before_it_was_out_of_service_keeps_its_key(
    integration: Integration,
) -> None:
    gateway = Gateway([503, 409, 409])
    async with told(integration, gateway, idempotency=CACHING, rules=[{"status": 409, "outcome": "retry"}]):
        event_id = await integration.emit("SO-1")
        await integration.in_state(event_id, "applied")
    assert len(gateway.keys) == 4
    assert len(set(gateway.keys)) == 1
    assert await integration.outcomes(event_id) == ["target_down", "retry", "retry", "applied"]


async def test_when_the_outage_is_longer_than_the_window_the_target_is_asked_and_not_told_again(
    integration: Integration,
) -> None:
    gateway = Gateway([503] * 1000)
    window = {"window": "1500ms", "margin": "1s"}
    async with told(integration, gateway, idempotency=window, operation={"look_up": LOOK_UP}):
        event_id = await integration.emit("SO-1")
        await integration.in_state(event_id, "applied")
    assert gateway.asked == 1


async def test_when_the_outage_is_longer_than_the_window_and_nobody_can_be_asked_a_person_decides(
    integration: Integration,
) -> None:
    gateway = Gateway([503] * 1000)
    async with told(integration, gateway, idempotency={"window": "1500ms", "margin": "1s"}):
        row = await parked(integration, await integration.emit("SO-1"))
    assert "outside the target's idempotency window" in row["reason"]
    assert row["failures"] == 0


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_redirect_stops_a_flow_that_must_not_repeat_itself_after_one_call(
    integration: Integration, status: int
) -> None:
    gateway = Gateway([status] * 1000, headers={"Location": "/login"})
    async with told(integration, gateway):
        event_ids = [await integration.emit(f"SO-{n}", customer=f"C-{n}") for n in range(2)]

        async def is_stopped() -> object:
            return await integration.database.value("select until = 'infinity' and needs_a_person from inbox.circuit")

        await until(is_stopped, what="the circuit waits for a person")
        await integration.in_state(event_ids[0], "in_doubt")
        calls = await integration.database.value("select count(*) from inbox.attempt where call = 'send'")
    # Both may have been under way when the first came back; neither is repeated.
    assert len(gateway.keys) == calls
    assert set(await integration.outcomes(event_ids[0])) == {"unknown"}
    assert len(await integration.outcomes(event_ids[0])) == 1


async def test_a_refusal_after_a_doubt_is_for_a_person_and_does_not_bring_another_key(integration: Integration) -> None:
    gateway = Gateway([504, 422])
    async with told(integration, gateway, idempotency=CACHING):
        row = await parked(integration, await integration.emit("SO-1"))
    assert len(set(gateway.keys)) == 1
    assert "an earlier try may have been applied, and a later one was refused" in row["reason"]
    assert "422" in row["reason"]
