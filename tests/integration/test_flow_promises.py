"""What a flow's owner promises, looked at in the database and told by a real process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sandbox.crm import DEFAULT_TOKEN, CrmServer
from sandbox.crm_faults import Fault, Faults, Script
from sandbox.ports import free_ports
from tests.kit.broker import Broker
from tests.kit.cli import FLOW, Cli, one_flow
from tests.kit.database import Database
from tests.kit.probe import metrics_of
from tests.kit.waiting import until

_EMIT = (
    "select outbox.emit('order.confirmed', $1, json_build_object('order_ref', $1::text, 'customer', 'C-1',"
    " 'revision', 1, 'amount', '1.00'))"
)


async def test_a_late_and_a_quiet_flow_are_told_with_their_owner_and_again_when_it_is_over(
    cli: Cli, database: Database, broker: Broker, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    # A second apart: by the time that the fault is over the delivery was due again and again.
    faults = Faults(scripts=(Script(order_ref="SO-1", fault=Fault.UNAVAILABLE_503, times=5),))
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl", faults=faults) as crm:
        settings = one_flow(crm.url, bearer=DEFAULT_TOKEN)
        flow = settings["flows"][FLOW]  # type: ignore[index]
        flow |= {
            "owner": {"business": "sales@example.com", "technical": "it@example.com"},
            "runbook": "docs/orders.md",
            "alert": {"late_after": "300ms"},
            "expect_every": "12h",
        }
        cli.settings(settings)
        here = replace(cli, pg_url=database.url, amqp_url=broker.url)
        async with here.running("run", OUTBOX_HTTP_PORT=str(port)) as process:
            await process.logged("lanes", held=16)
            await database.value(_EMIT, "SO-1")
            late = await process.logged("alert", rule="late")
            assert (late["level"], late["flow"]) == ("error", FLOW)
            assert (late["owner"], late["runbook"]) == ("it@example.com", "docs/orders.md")
            assert (await metrics_of(port))[f'inbox_alert{{flow="{FLOW}",rule="late"}}'] == 1

            assert not process.find("alert", rule="quiet")
            await database.value("update inbox.last_arrival set last_at = now() - interval '13 hours'")
            quiet = await process.logged("alert", rule="quiet")
            assert quiet["text"] == "no message has come for 13 h, and expect_every is 12 h"

            await database.value(_EMIT, "SO-2")
            await process.logged("alert over", rule="quiet")
            await process.logged("alert over", rule="late")

            async def is_calm() -> bool:
                seen = await metrics_of(port)
                return all(seen[f'inbox_alert{{flow="{FLOW}",rule="{rule}"}}'] == 0 for rule in ("late", "quiet"))

            await until(is_calm, what="no rule is broken")


async def test_what_is_parked_does_not_wait_and_a_retry_has_waited_since_it_came(
    cli: Cli, database: Database, broker: Broker, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    scripts = (Script(order_ref="SO-500", fault=Fault.ERROR_500, times=1000),)
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl", faults=Faults(scripts=scripts)) as crm:
        cli.settings(one_flow(crm.url, bearer=DEFAULT_TOKEN))
        here = replace(cli, pg_url=database.url, amqp_url=broker.url)
        async with here.running("run", OUTBOX_HTTP_PORT=str(port)) as process:
            await process.logged("lanes", held=16)
            await database.value(_EMIT, "SO-500")
            await process.logged("parked", state="in_doubt")
            await database.value("update inbox.delivery set accepted_at = now() - interval '1 day'")

            async def is_zero() -> bool:
                return (await metrics_of(port))[f'inbox_oldest_waiting_age_seconds{{flow="{FLOW}"}}'] == 0

            await until(is_zero, what="what is parked does not wait")
            assert await database.value("select parked_at is not null from inbox.delivery")
