"""A target that answers 200 with a web page has promised nothing: the delivery waits in doubt, and says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sandbox.crm import DEFAULT_TOKEN, CrmServer
from sandbox.crm_faults import Fault, Faults
from tests.kit.broker import Broker
from tests.kit.cli import FLOW, Cli, one_flow
from tests.kit.database import Database
from tests.kit.waiting import until

PAYLOAD = '{"order_ref": "SO-1", "customer": "C-1", "revision": 1, "amount": "12.50"}'
REASON = "POST /deals: target answered 200 with text/html where JSON was expected; is base_url right?"


async def test_a_page_instead_of_an_answer_is_in_doubt_until_the_target_is_right_and_then_applied_once(
    cli: Cli, database: Database, broker: Broker, tmp_path: Path
) -> None:
    cli = replace(cli, pg_url=database.url, amqp_url=broker.url)
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl", faults=Faults(shares={Fault.HTML_200: 1})) as crm:
        cli.settings(one_flow(crm.url, bearer=DEFAULT_TOKEN))
        emitted = (await cli("emit", "order.confirmed", "C-1", PAYLOAD)).out.strip()
        async with cli.running("run") as process:
            # More often than the three attempts that a message has: a doubt costs none of them.
            for _ in range(4):
                line = await process.logged("attempt ended", since=process.mark(), event_id=emitted)
        status = (await cli("status", "--json")).json()
        table = await cli("status", COLUMNS="300")
        assert await broker.depth(f"dead.{FLOW}") == 0
        crm.set_faults(Faults())
        async with cli.running("run"):
            await until(lambda: _is_applied(database, emitted), what="the delivery is applied")
        assert [effect.order_ref for effect in crm.ledger.lines] == ["SO-1"]

    assert (line["level"], line["state"], line["reason"]) == ("warning", "in_doubt", REASON)
    (flow,) = status["flows"]
    assert flow | {"oldest_due_age_seconds": 0} == {
        "flow": FLOW,
        "ready": 0,
        "applying": 0,
        "retry": 0,
        "in_doubt": 1,
        "blocked": 0,
        "dead": 0,
        "oldest_due_age_seconds": 0,
        "lanes": 16,
        "lanes_leased": 0,
        "last_reason": REASON,
        # One delivery alone opens nothing.
        "circuit": "closed",
        "circuit_reason": None,
        "circuit_seconds": None,
        "needs_a_person": False,
        "throttled_seconds": flow["throttled_seconds"],
        "awaiting": 0,
        "awaits": None,
    }
    assert REASON in table.out


async def _is_applied(database: Database, message_id: str) -> bool:
    state = await database.value("select state from inbox.delivery where message_id = $1", message_id)
    return state == "applied"
