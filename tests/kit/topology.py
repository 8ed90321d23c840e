"""The topology's verbs on a test's own virtual host, in a mode, with or without the management API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from outbox.rabbitmq.apply import apply, check, plan_for
from outbox.rabbitmq.connection import RabbitServer
from outbox.rabbitmq.desired import FlowRoute, Mode
from outbox.rabbitmq.judge import Verdict
from outbox.rabbitmq.management import ManagementServer
from outbox.rabbitmq.plan import Plan
from tests.kit.broker import Broker, manage
from tests.kit.rabbit_users import management_of

FLOW = "orders-to-crm"
FLOWS = (FlowRoute(FLOW, ("order.*",)),)
MIB = 1024 * 1024


@dataclass(frozen=True)
class Topology:
    broker: Broker
    mode: Mode
    has_api: bool = True
    flows: Sequence[FlowRoute] = FLOWS

    @property
    def server(self) -> RabbitServer:
        return replace(self.broker.server, topology=self.mode)

    @property
    def api(self) -> ManagementServer | None:
        return ManagementServer.beside(self.server, management_of(self.broker)) if self.has_api else None

    async def check(self) -> Verdict:
        return (await check(self.server, self.api, self.flows, max_payload_bytes=15 * MIB))[1]

    async def deviations(self) -> list[str]:
        return [f"{one.thing}: {one.found}" for one in (await self.check()).deviations]

    async def plan(self) -> Plan:
        return (await plan_for(self.server, self.api, self.flows))[1]

    async def apply(self) -> Plan:
        return (await apply(self.server, self.api, self.flows))[1]

    async def put(self, kind: str, name: str, body: object) -> None:
        await manage(management_of(self.broker), "PUT", f"/api/{kind}/{self.broker.vhost}/{name}", body)

    async def delete(self, path: str) -> None:
        await manage(management_of(self.broker), "DELETE", path)
