"""The whole sidecar inside the test's own process, against the test's servers and CRM."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from adapters.registry import ADAPTERS
from outbox.app import App, Roles
from outbox.config.load import load
from outbox.config.settings import Settings
from sandbox.crm import CrmServer
from tests.kit.broker import Broker
from tests.kit.database import Database
from tests.kit.waiting import until

FLOW = "orders-to-crm"

MAPPING = [
    {"source_field": "order_ref", "target_field": "external_ref", "required": True},
    {"source_field": "customer", "target_field": "customer", "required": True},
    {"source_field": "revision", "target_field": "revision", "required": True},
    {"source_field": "amount", "target_field": "amount", "required": True},
    {"source_field": "currency", "target_field": "currency", "default": "EUR"},
]
RETRY = {"attempts": 3, "first": "20ms", "max": "50ms"}
# Nothing else goes on that would show a working target, so failures would not count yet.
ALONE = RETRY | {"patience": "0s"}


@dataclass(frozen=True)
class Integration:
    database: Database
    broker: Broker
    crm: CrmServer
    folder: Path

    def settings(self, *, window: str = "24h", also: tuple[str, ...] = (), **sections: object) -> Settings:
        """Return settings for one flow to the CRM; ``also`` are others like it.

        ``retry``, ``adapter``, ``mapping`` and what is in ``flow`` go into the flow, the rest beside it.
        """
        adapter: dict[str, object] = {
            "use": "rest",
            "connection": "crm",
            "idempotency": {"header": "Idempotency-Key", "window": window, "margin": "100ms"},
            "statuses": sections.pop("statuses", {}),
            "operations": {"order.confirmed": {"method": "POST", "path": "/deals", "external_id": "deal.id"}},
        }
        flow = {
            "description": "Confirmed orders become deals",
            "events": ["order.confirmed"],
            "adapter": sections.pop("adapter", adapter),
            "mapping": sections.pop("mapping", MAPPING),
            "retry": sections.pop("retry", RETRY),
            "circuit": {"first": "20ms", "max": "50ms"},
            **sections.pop("flow", {}),
        }
        content: dict[str, object] = {
            "http": {"port": 0},
            "log": {"level": "error"},
            "inbox": {"lease": "3s", "poll": "10ms"},
            "connections": {"crm": {"base_url": self.crm.url, "bearer": self.crm.token, "timeout": "1s"}},
            "flows": dict.fromkeys((FLOW, *also), flow),
        }
        file = self.folder / f"{uuid.uuid4().hex}.yaml"
        file.write_text(json.dumps(content | sections), encoding="utf-8")
        return load(
            path=file,
            environ={"OUTBOX_PG_URL": self.database.url, "OUTBOX_AMQP_URL": self.broker.url},
            adapters={name: kind.settings for name, kind in ADAPTERS.items()},
        )

    async def emit(self, ref: str, revision: int = 1, *, customer: str = "C-1", **changes: object) -> str:
        order = {"order_ref": ref, "customer": customer, "revision": revision, "amount": "10.00"} | changes
        payload = json.dumps({name: value for name, value in order.items() if value is not None})
        event_id = await self.database.value("select outbox.emit('order.confirmed', $1, $2::json)", customer, payload)
        return str(event_id)

    async def delivery(self, message_id: str) -> asyncpg.Record | None:
        rows = await self.database.rows("select * from inbox.delivery where message_id = $1", message_id)
        return rows[0] if rows else None

    async def in_state(self, message_id: str, state: str, *, within_seconds: float = 20) -> asyncpg.Record:
        """Wait until a delivery is in this state and nothing is due for it any more soon."""

        async def look() -> asyncpg.Record | None:
            row = await self.delivery(message_id)
            return row if row is not None and row["state"] == state else None

        found = await until(look, what=f"{message_id} is {state}", within_seconds=within_seconds)
        assert found is not None
        return found

    async def parked(self, message_id: str) -> asyncpg.Record:
        """Wait until a delivery is left to a person."""

        async def look() -> asyncpg.Record | None:
            row = await self.delivery(message_id)
            return row if row is not None and row["parked_at"] is not None else None

        found = await until(look, what=f"{message_id} is left to a person")
        assert found is not None
        return found

    async def outcomes(self, message_id: str) -> list[str]:
        rows = await self.database.rows(
            "select a.outcome from inbox.attempt a join inbox.delivery d on d.id = a.delivery_id"
            " where d.message_id = $1 order by a.attempt",
            message_id,
        )
        return [row["outcome"] for row in rows]

    def effects(self) -> list[str]:
        """Return the orders that took effect, in the order of the CRM's ledger."""
        return [line.order_ref for line in self.crm.ledger.lines]


@asynccontextmanager
async def running(settings: Settings, roles: Roles | None = None) -> AsyncIterator[App]:
    """Run the sidecar for the length of the block; it must drain cleanly at the end."""
    app = App(settings, roles or Roles(is_relay=True, is_consumer=True))
    async with asyncio.TaskGroup() as group:
        process = group.create_task(app.run())
        try:
            yield app
        finally:
            app.supervisor.stop.set()
        assert await process == 0
