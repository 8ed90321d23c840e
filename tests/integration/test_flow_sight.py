"""What operations see of a flow that has trouble: in the log and in the metrics of a real process."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from outbox.model.circuit import CircuitState
from outbox.postgres.circuit import set_circuit
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

    async def is_above(self, name: str, value: float) -> None:
        async def look() -> bool:
            return (await metrics_of(self.port))[series(name)] > value

        await until(look, what=f"{series(name)} is above {value}")

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


async def test_a_circuit_that_a_person_opens_shows_in_the_process_that_runs_and_in_the_one_after_it(
    cli: Cli, database: Database, broker: Broker, tmp_path: Path
) -> None:
    async with site(cli, database, broker, tmp_path) as here:
        await here.shows("inbox_circuit_state", 1, state="closed")
        assert not here.process.find("circuit")
        await set_circuit(database.server, FLOW, CircuitState.OPEN, who="ann", why="the CRM moves")
        line = await here.process.logged("circuit", state="open", changed_by="ann")
        assert (line["level"], line["reason"]) == ("error", "the CRM moves")
        await here.shows("inbox_circuit_state", 1, state="open")
        await here.shows("inbox_circuit_state", 0, state="closed")
        await here.shows("inbox_circuit_needs_a_person", 1)
        await here.emit("SO-1")

    async with site(cli, database, broker, tmp_path) as here:
        await here.process.logged("circuit", state="open", changed_by="ann")
        await here.shows("inbox_circuit_state", 1, state="open")
        await here.is_above("inbox_oldest_due_age_seconds", 0.0)
        await database.value("update inbox.circuit set state = 'half_open', probe = 0, until = now() + '1 hour'")
        await here.shows("inbox_circuit_state", 1, state="half_open")
        await set_circuit(database.server, FLOW, CircuitState.CLOSED, who="ann", why="it has moved")
        await here.process.logged("circuit", state="closed", changed_by="ann")
        await here.shows("inbox_circuit_needs_a_person", 0)
        await here.shows("inbox_settled_deliveries_total", 1, state="applied")
        await here.shows("inbox_oldest_due_age_seconds", 0)


async def test_one_process_tells_how_a_flow_stands_and_another_when_it_is_gone(
    cli: Cli, database: Database, broker: Broker, tmp_path: Path
) -> None:
    script = Script(order_ref="SO-422", fault=Fault.REJECT_422)
    (port,) = free_ports(1)
    async with AsyncExitStack() as stack:
        async with site(cli, database, broker, tmp_path, script) as here:
            await here.emit("SO-422", "SO-422")
            await here.shows("inbox_parked_deliveries", 1, state="dead")
            await here.shows("inbox_parked_deliveries", 0, state="in_doubt")
            await here.shows("inbox_blocked_deliveries", 1)
            beside = replace(cli, pg_url=database.url, amqp_url=broker.url)
            process = await stack.enter_async_context(beside.running("consume", OUTBOX_HTTP_PORT=str(port)))
            await process.logged("lanes", held=8)
            assert math.isnan((await metrics_of(port))[series("inbox_circuit_state", state="closed")])
        left = replace(here, process=process, port=port)
        await left.shows("inbox_parked_deliveries", 1, state="dead")
        await left.shows("inbox_circuit_state", 1, state="closed")
