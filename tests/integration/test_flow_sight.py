"""What operations see of a flow that has trouble: in the log and in the metrics of a real process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.crm import DEFAULT_TOKEN, CrmServer
from sandbox.crm_faults import Fault, Faults, Script
from sandbox.ports import free_ports
from tests.kit.broker import Broker
from tests.kit.cli import FLOW, Cli, one_flow
from tests.kit.database import Database
from tests.kit.probe import metrics_of
from tests.kit.process import Process
from tests.kit.waiting import until


def series(name: str, **labels: str) -> str:
    told = ",".join(f'{label}="{value}"' for label, value in {"flow": FLOW, **labels}.items())
    return f"{name}{{{told}}}"


@dataclass(frozen=True)
class Site:
    """The sidecar as a process, beside its CRM."""

    database: Database
    crm: CrmServer
    process: Process
    port: int

    async def emit(self, *orders: str) -> None:
        for order in orders:
            await self.database.value(
                "select outbox.emit('order.confirmed', $1, json_build_object('order_ref', $1::text, 'customer', 'C-1',"
                " 'revision', 1, 'amount', '1.00'))",
                order,
            )

    async def shows(self, name: str, value: float, **labels: str) -> None:
        async def look() -> bool:
            return (await metrics_of(self.port))[series(name, **labels)] == value

        await until(look, what=f"{series(name, **labels)} is {value}")


@asynccontextmanager
async def site(cli: Cli, database: Database, broker: Broker, folder: Path, *scripts: Script) -> AsyncIterator[Site]:
    (port,) = free_ports(1)
    async with CrmServer(ledger_path=folder / "ledger.jsonl", faults=Faults(scripts=scripts)) as crm:
        cli.settings(one_flow(crm.url, bearer=DEFAULT_TOKEN))
        here = replace(cli, pg_url=database.url, amqp_url=broker.url)
        async with here.running("run", OUTBOX_HTTP_PORT=str(port)) as process:
            await process.logged("lanes", held=16)
            yield Site(database, crm, process, port)


async def test_what_waits_for_a_person_is_told_alike_whichever_way_it_was_parked(
    cli: Cli, database: Database, broker: Broker, tmp_path: Path
) -> None:
    scripts = (
        Script(order_ref="SO-500", fault=Fault.ERROR_500),
        Script(order_ref="SO-422", fault=Fault.REJECT_422),
        # A doubt that ends by itself.
        Script(order_ref="SO-HTML", fault=Fault.HTML_200, times=1),
    )
    async with site(cli, database, broker, tmp_path, *scripts) as here:
        await here.emit("SO-500", "SO-422", "SO-HTML")
        doubt = await here.process.logged("parked", state="in_doubt")
        dead = await here.process.logged("parked", state="dead")
        await here.shows("inbox_settled_deliveries_total", 1, state="applied")
        after = await metrics_of(here.port)
        lines = here.process.find("parked")
    assert (doubt["level"], doubt["attempt"]) == ("error", 3)
    assert (dead["level"], dead["attempt"]) == ("error", 1)
    assert "the tries are used up" in doubt["reason"]
    assert len(lines) == 2
    assert {state: after[series("inbox_parkings_total", state=state)] for state in ("dead", "in_doubt")} == {
        "dead": 1,
        "in_doubt": 1,
    }
    assert after[series("inbox_settled_deliveries_total", state="dead")] == 1
