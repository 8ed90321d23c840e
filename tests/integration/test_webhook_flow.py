"""Webhooks from the commit to a receiver that verifies with the reference library, through doubts and refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from outbox.model.circuit import CircuitState
from outbox.postgres.circuit import set_circuit
from sandbox.crm import CrmServer
from tests.contract.rest_loopback import target
from tests.kit.broker import Broker
from tests.kit.database import Database
from tests.kit.running import FLOW, Integration, running
from tests.kit.waiting import until

SECRET = "whsec_" + "QUFB" * 10


@dataclass
class Receiver:
    """Verifies and deduplicates by id; answers ``statuses`` before 204, where 0 hangs up after the effect."""

    statuses: list[int] = field(default_factory=list)
    effects: dict[str, bytes] = field(default_factory=dict)
    stamps: list[tuple[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        Webhook(SECRET).verify(body, dict(request.headers), json_parse=False)
        self.stamps.append((request.headers["webhook-id"], request.headers["webhook-signature"]))
        status = self.statuses.pop(0) if self.statuses else 204
        if status in (0, 204):
            self.effects.setdefault(request.headers["webhook-id"], body)
        if status == 0 and request.transport is not None:
            request.transport.abort()
        return web.Response(status=status or 500)


@pytest.fixture
async def integration(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Integration]:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as crm:
        yield Integration(database, broker, crm, tmp_path)


@asynccontextmanager
async def told(integration: Integration, receiver: Receiver, **adapter: object) -> AsyncIterator[None]:
    """Run a flow to this receiver for the length of the block."""
    async with target(receiver.answer) as url:
        settings = integration.settings(
            connections={"partner": {"base_url": url, "timeout": "2s"}},
            adapter={"use": "webhook", "connection": "partner", "secrets": [SECRET], "body": "payload"} | adapter,
            mapping=[],
            retry={"schedule": ["20ms", "50ms", "50ms"]},
        )
        async with running(settings):
            yield


async def test_an_event_is_told_once_through_refusals_and_a_lost_answer(integration: Integration) -> None:
    receiver = Receiver(statuses=[400, 0, 503])
    async with told(integration, receiver, remembers="1h", margin="1s"):
        event_id = await integration.emit("SO-1", amount="0.10")
        await integration.in_state(event_id, "applied")

    webhook_id = f"{FLOW}-{event_id}"
    assert list(receiver.effects) == [webhook_id]
    assert receiver.effects[webhook_id] == (
        b'{"order_ref": "SO-1", "customer": "C-1", "revision": 1, "amount": "0.10"}'
    )
    assert {name for name, _ in receiver.stamps} == {webhook_id}
    assert await integration.outcomes(event_id) == ["retry", "unknown", "target_down", "applied"]


async def test_a_receiver_that_has_disabled_the_webhook_is_left_alone_until_a_person_says_so(
    integration: Integration,
) -> None:
    receiver = Receiver(statuses=[410])
    async with told(integration, receiver):
        event_id = await integration.emit("SO-1")
        row = await integration.in_state(event_id, "retry")
        assert (row["reason_class"], row["failures"]) == ("configuration", 0)
        assert "the receiver has disabled this webhook; ask its owner" in row["reason"]

        async def is_told() -> object:
            return await integration.database.value("select until = 'infinity' and needs_a_person from inbox.circuit")

        await until(is_told, what="the circuit waits for a person")
        await set_circuit(integration.database.server, FLOW, CircuitState.CLOSED, who="ann", why="it works again")
        await integration.in_state(event_id, "applied")

    assert list(receiver.effects) == [f"{FLOW}-{event_id}"]


async def test_a_receiver_that_promised_nothing_is_not_told_twice(integration: Integration) -> None:
    receiver = Receiver(statuses=[0])
    async with told(integration, receiver):
        event_id = await integration.emit("SO-1")

        async def parked() -> bool:
            row = await integration.delivery(event_id)
            return row is not None and row["state"] == "in_doubt" and row["due_at"] is None

        await until(parked, what="the delivery is parked")

    assert len(receiver.stamps) == 1
