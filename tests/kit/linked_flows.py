"""Two flows of one CRM: orders, whose customers must have an id there, and customers, whose receipts give them one."""

from __future__ import annotations

import json
from dataclasses import dataclass

import asyncpg

from outbox.config.settings import Settings
from outbox.model.xref import Pair, Registry, Source
from outbox.postgres.xref import xref_session
from tests.kit.running import RETRY, Integration
from tests.kit.waiting import until

ORDERS = "orders-to-crm"
CUSTOMERS = "customers-to-crm"
REGISTRY = Registry("customer", "crm")


@dataclass(frozen=True)
class LinkedFlows:
    site: Integration

    def settings(
        self,
        *,
        customers: dict[str, object] | None = None,
        orders: dict[str, object] | None = None,
        inbox: dict[str, object] | None = None,
        **xref: object,
    ) -> Settings:
        """Return settings in which orders look their customer up by this ``xref``; the rest is added to the flows."""
        wanted = {"entity": "customer", "system": "crm"} | xref
        order_rules = [
            {"source_field": "order_ref", "target_field": "external_ref"},
            {"source_field": "customer", "target_field": "customer", "transform": {"xref": wanted}},
            {"source_field": "revision", "target_field": "revision"},
            {"source_field": "amount", "target_field": "amount"},
            {"target_field": "currency", "default": "EUR"},
        ]
        customer_rules = [
            {"source_field": "customer", "target_field": "external_ref"},
            {"source_field": "customer", "target_field": "customer"},
            {"source_field": "revision", "target_field": "revision"},
            {"target_field": "amount", "default": "0.00"},
            {"target_field": "currency", "default": "EUR"},
        ]
        flows = {
            ORDERS: _flow("order.confirmed", order_rules) | (orders or {}),
            CUSTOMERS: _flow("customer.changed", customer_rules)
            | {"links": {"entity": "customer", "system": "crm"}}
            | (customers or {}),
        }
        return self.site.settings(flows=flows, inbox={"lease": "3s", "poll": "10ms"} | (inbox or {}))

    async def order(self, ref: str, customer: str, revision: int = 1) -> str:
        """Commit an order, whose key is its customer."""
        return await self.site.emit(ref, revision, customer=customer)

    async def order_by_itself(self, ref: str, customer: str) -> str:
        """Commit an order, whose key is its own."""
        payload = {"order_ref": ref, "customer": customer, "revision": 1, "amount": "10.00"}
        event_id = await self.site.database.value(
            "select outbox.emit('order.confirmed', $1, $2::json)", ref, json.dumps(payload)
        )
        return str(event_id)

    async def waits(self, event_id: str, reason: str = "") -> asyncpg.Record:
        """Return the delivery of an event once it waits, and says so with this in its reason."""

        async def look() -> asyncpg.Record | None:
            row = await self.site.delivery(event_id)
            is_it = row is not None and row["look_at"] is not None and reason in row["reason"]
            return row if is_it else None

        found = await until(look, what=f"{event_id} waits")
        assert found is not None
        return found

    async def customer(self, key: str, revision: int = 1) -> str:
        """Commit a customer."""
        event_id = await self.site.database.value(
            "select outbox.emit('customer.changed', $1, $2::json)",
            key,
            json.dumps({"customer": key, "revision": revision}),
        )
        return str(event_id)

    async def link(self, *pairs: tuple[str, str]) -> None:
        """Link customers by an import."""
        async with xref_session(self.site.database.server) as session:
            links = [Pair(key, external_id) for key, external_id in pairs]
            await session.link(REGISTRY, links, Source.IMPORT, who="ann", why=None)

    async def unlink(self, key: str) -> None:
        """Take a customer's link away."""
        async with xref_session(self.site.database.server) as session:
            await session.unlink(REGISTRY, key, who="ann", why="wrong")

    def effects(self) -> list[tuple[str, str]]:
        """Return orders and customers in the order in which the CRM has them, each with the customer that it names."""
        return [(line.order_ref, line.customer) for line in self.site.crm.ledger.lines]


def _flow(event_type: str, rules: list[dict[str, object]]) -> dict[str, object]:
    return {
        "description": "What is changed becomes a deal",
        "events": [event_type],
        "adapter": {
            "use": "rest",
            "connection": "crm",
            "idempotency": {"header": "Idempotency-Key", "window": "24h", "margin": "100ms"},
            "operations": {event_type: {"method": "POST", "path": "/deals", "external_id": "deal.id"}},
        },
        "mapping": rules,
        "retry": RETRY,
        "circuit": {"first": "20ms", "max": "50ms"},
    }
