"""One process with two flows, each to a CRM of its own, whose settings are changed while it runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.checker import check
from sandbox.crm import DEFAULT_TOKEN, CrmServer
from sandbox.ports import free_ports
from tests.kit.cli import Cli
from tests.kit.probe import answer_of, metrics_of
from tests.kit.process import Process
from tests.kit.site import FLOW, Site
from tests.kit.waiting import until

OTHER = "orders-to-shop"
IN_EFFECT, REFUSED = "settings in effect", "new settings refused, those before stay in effect"
IS_GOOD = "outbox_config_last_reload_successful"
MAPPING = [
    {"source_field": name, "target_field": target, "required": True}
    for name, target in (
        ("order_ref", "external_ref"),
        ("customer", "customer"),
        ("revision", "revision"),
        ("amount", "amount"),
    )
]
_UNFINISHED = """
    select d.flow, d.state, count(*) from inbox.delivery d where d.state <> 'applied' group by d.flow, d.state
"""
_MISSING = """
    select count(*) from outbox.event e
     where not exists (select from inbox.delivery d where d.message_id = e.event_id::text and d.flow = $1)
"""


@dataclass
class Reloads:
    """Settings in a file for each flow, of ``outbox run`` or whichever verb is started."""

    site: Site
    other_crm: CrmServer
    flows: dict[str, dict[str, Any]]
    port: int = field(default_factory=lambda: free_ports(1)[0])
    process: Process | None = None
    first_starts: Counter[str] = field(default_factory=Counter)

    @property
    def folder(self) -> Path:
        return self.site.folder / "flows"

    async def start(self, verb: str = "run", *, check_every: str = "1h", **sections: Any) -> Process:  # noqa: ANN401
        """Start a process with these settings; files are looked at so seldom that SIGHUP must do it, unless told."""
        self.folder.mkdir(exist_ok=True)
        for name in self.flows:
            self.write(name)
        connections = {
            "crm": {"base_url": self.site.crm.url, "bearer": DEFAULT_TOKEN},
            "shop": {"base_url": self.other_crm.url, "bearer": DEFAULT_TOKEN},
        }
        ours = {"flows": {}, "connections": connections, "reload": {"check_every": check_every}}
        self.process = await self.site.start(verb, http_port=self.port, include=["flows/*.yaml"], **(ours | sections))
        await self.process.logged(IN_EFFECT)
        return self.process

    def write(self, name: str, **changes: object) -> None:
        """Write a flow's file anew, in one step; the changes stay."""
        self.flows[name] |= changes
        self.put(name, json.dumps({"flows": {name: self.flows[name]}}, indent=1))

    def put(self, name: str, text: str) -> None:
        """Put this text in place of a flow's file."""
        draft = self.folder / f".{name}"
        draft.write_text(text, encoding="utf-8")
        draft.replace(self.folder / f"{name}.yaml")

    def remove(self, name: str) -> None:
        """Remove a flow's file."""
        (self.folder / f"{name}.yaml").unlink()

    async def reload(self, said: str = IN_EFFECT, **fields: object) -> Mapping[str, Any]:
        """Ask for a reload, and return what the process says of it."""
        process = self.running()
        since = process.mark()
        process.hang_up()
        return await process.logged(said, since=since, **fields)

    def running(self) -> Process:
        assert self.process is not None
        return self.process

    async def begun(self) -> None:
        """Wait until every flow consumes: a fresh broker may turn away one of several who declare at the same time."""
        for name in self.flows:
            await self.site.subscribed(name)
        self.first_starts = Counter(line["service"] for line in self.running().find("service started"))

    def starts(self, service: str) -> int:
        """Return how often a service was started; what it took until all had begun counts once."""
        again = len(self.running().find("service started", service=service)) - self.first_starts[service]
        return again + bool(self.first_starts[service])

    async def metric(self, name: str) -> float:
        return (await metrics_of(self.port))[name]

    async def notices(self) -> list[str]:
        """Return what the process tells with its readiness, which must be well."""
        status, text = await answer_of(self.port, "/readyz")
        assert status == 200, text
        told: list[str] = json.loads(text)["notices"]
        return told

    async def status(self) -> list[dict[str, Any]]:
        """Return the processes as ``outbox status`` shows them."""
        processes: list[dict[str, Any]] = (await self.cli()("status", "--json")).json()["processes"]
        return processes

    def cli(self) -> Cli:
        return Cli(self.site.folder, self.site.database.url, self.site.broker.url)

    async def settle(self, *, within_seconds: float = 60.0) -> None:
        """Wait until every event is applied by both flows, and let the judge compare the ERP with both CRMs."""

        async def is_settled() -> bool:
            missing = [await self.site.database.value(_MISSING, flow) for flow in (FLOW, OTHER)]
            return missing == [0, 0] and not await self.site.database.rows(_UNFINISHED)

        try:
            await until(is_settled, what="both flows have applied everything", within_seconds=within_seconds)
        except AssertionError as error:
            error.add_note(str([tuple(row) for row in await self.site.database.rows(_UNFINISHED)]))
            raise
        for crm in (self.site.crm, self.other_crm):
            verdict = await check(self.site.database.url, crm.ledger_path)
            assert verdict.is_clean, verdict

    def bodies(self, crm: CrmServer) -> dict[str, str]:
        """Return what was sent for each order, as a hash."""
        return {line.order_ref: line.body_sha256 for line in crm.ledger.lines}


@asynccontextmanager
async def reloads_for(site: Site) -> AsyncIterator[Reloads]:
    async with CrmServer(ledger_path=site.folder / "shop.jsonl") as other:
        flows = {name: _flow(connection) for name, connection in ((FLOW, "crm"), (OTHER, "shop"))}
        reloads = Reloads(site, other, flows)
        try:
            yield reloads
        finally:
            for process in site.processes:
                await process.kill()


def _flow(connection: str) -> dict[str, Any]:
    return {
        "description": "Confirmed sales orders become deals.",
        "events": ["order.confirmed"],
        "adapter": {
            "use": "rest",
            "connection": connection,
            "idempotency": {"window": "24h"},
            "operations": {"order.confirmed": {"method": "POST", "path": "/deals", "external_id": "deal.id"}},
        },
        "retry": {"attempts": 100, "first": "50ms", "max": "500ms"},
        "circuit": {"first": "50ms", "max": "500ms"},
    }
