"""What operations see of a real process: health, and metrics that start at zero and follow the work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import aiohttp
from aio_pika import Message

from sandbox.crm import DEFAULT_TOKEN, CrmServer
from sandbox.crm_faults import Fault, Faults, Script
from sandbox.ports import free_ports
from tests.kit.broker import Broker
from tests.kit.cli import FLOW, Cli, one_flow
from tests.kit.database import Database
from tests.kit.probe import answer_of, listens, metrics_of
from tests.kit.waiting import until

STREAM = '{stream="outbox.event"}'
OF_FLOW = f'{{flow="{FLOW}"}}'


def settled(state: str) -> str:
    return f'inbox_settled_deliveries_total{{flow="{FLOW}",state="{state}"}}'


def attempts(outcome: str) -> str:
    return f'inbox_attempts_total{{flow="{FLOW}",outcome="{outcome}"}}'


AT_ZERO = [
    f"outbox_published_events_total{STREAM}",
    f"outbox_rejected_events_total{STREAM}",
    "outbox_unrouted_events_total",
    f"inbox_accepted_messages_total{OF_FLOW}",
    f"inbox_duplicate_messages_total{OF_FLOW}",
    f"inbox_call_duration_seconds_count{OF_FLOW}",
    f"inbox_void_results_total{OF_FLOW}",
    f"inbox_dead_letters_published_total{OF_FLOW}",
    *(settled(state) for state in ("applied", "retry", "in_doubt", "dead")),
    *(attempts(outcome) for outcome in ("applied", "retry", "rejected", "unknown", "throttled", "target_down")),
    'outbox_service_waits_total{service="relay"}',
    f'outbox_service_waits_total{{service="apply {FLOW}"}}',
]

# Each of these happens once to its order; the order behind it is applied at once.
TROUBLE = {"SO-500": Fault.ERROR_500, "SO-422": Fault.REJECT_422, "SO-HTML": Fault.HTML_200}


async def test_metrics_start_at_zero_and_follow_the_work(
    cli: Cli, database: Database, broker: Broker, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    scripts = tuple(Script(order_ref=order, fault=fault, times=1) for order, fault in TROUBLE.items())
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl", faults=Faults(scripts=scripts)) as crm:
        cli.settings(one_flow(crm.url, bearer=DEFAULT_TOKEN))
        cli = replace(cli, pg_url=database.url, amqp_url=broker.url)
        async with cli.running("run", OUTBOX_HTTP_PORT=str(port)) as process:
            await process.logged("caught up")
            await process.logged("lanes", held=16)
            before = await metrics_of(port)
            published = await emit(database, *TROUBLE, "SO-1", "SO-2")
            await emit(database, "SO-nobody", event_type="invoice.sent")
            await until(lambda: _has(port, settled("applied"), 4), what="four are applied")
            await until(lambda: _has(port, f"inbox_dead_letters_published_total{OF_FLOW}", 1), what="one is dead")
            await repeat(broker, published)
            await until(lambda: _has(port, f"inbox_duplicate_messages_total{OF_FLOW}", 1), what="one is a duplicate")
            await until(lambda: _has(port, f"outbox_published_events_total{STREAM}", 6), what="six are published")
            after = await metrics_of(port)

    assert {name: before.get(name) for name in AT_ZERO} == dict.fromkeys(AT_ZERO, 0)
    assert before[f"outbox_relay_is_leader{STREAM}"] == 1
    assert before[f"inbox_lanes_held{OF_FLOW}"] == 16
    expected = {
        f"outbox_published_events_total{STREAM}": 6,
        f"inbox_accepted_messages_total{OF_FLOW}": 5,
        f"inbox_call_duration_seconds_count{OF_FLOW}": 7,
        settled("applied"): 4,
        settled("retry"): 0,
        settled("in_doubt"): 2,
        settled("dead"): 1,
        attempts("applied"): 4,
        attempts("retry"): 0,
        attempts("unknown"): 2,
        attempts("rejected"): 1,
        f"outbox_rejected_events_total{STREAM}": 0,
    }
    assert {name: after[name] for name in expected} == expected
    assert after[f"outbox_confirm_duration_seconds_count{STREAM}"] >= 1
    assert 0 <= after[f"outbox_oldest_unpublished_age_seconds{STREAM}"] < 5
    assert len(crm.ledger.lines) == 4


async def test_health_says_how_each_loop_is_and_does_not_ask_for_more(
    cli: Cli, database: Database, broker: Broker
) -> None:
    (port,) = free_ports(1)
    cli.settings(one_flow())
    async with replace(cli, pg_url=database.url, amqp_url=broker.url).running("run", OUTBOX_HTTP_PORT=str(port)):
        await listens(port)
        live, ready = await answer_of(port, "/livez"), await answer_of(port, "/readyz")
        unknown, _ = await answer_of(port, "/")

    assert (live[0], ready[0], unknown) == (200, 200, 404)
    assert json.loads(ready[1]) == {"is_ready": True, "reasons": [], "notices": []}
    flow = (f"accept {FLOW}", f"apply {FLOW}", f"dead letters {FLOW}")
    services = ("relay", "watch", "partitions", *flow, "forget", "presence", "http", "settings")
    assert json.loads(live[1]) == {"is_alive": True, "services": dict.fromkeys(services, "running")}


async def test_metrics_are_in_the_format_of_prometheus(cli: Cli, database: Database, broker: Broker) -> None:
    (port,) = free_ports(1)
    async with replace(cli, pg_url=database.url, amqp_url=broker.url).running("relay", OUTBOX_HTTP_PORT=str(port)):
        await listens(port)
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            content_type, text = answer.headers["Content-Type"], await answer.text()

    assert content_type.startswith("text/plain; version=")
    described = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    typed = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert described == typed
    assert "outbox_oldest_unpublished_age_seconds" in described


async def emit(database: Database, *orders: str, event_type: str = "order.confirmed") -> str:
    """Commit an event for each order, and return the id of the last."""
    for order in orders:
        payload = json.dumps({"order_ref": order, "customer": "C-1", "revision": 1, "amount": "1.00"})
        message_id = await database.value("select outbox.emit($1, $2, $3::text::json)", event_type, order, payload)
    return str(message_id)


async def repeat(broker: Broker, message_id: str) -> None:
    """Send a message again, as a relay does after a crash."""
    headers = {"sequence": 1, "version": 1, "key": "SO-2"}
    again = Message(b"{}", message_id=message_id, type="order.confirmed", headers=headers)
    async with broker.channel() as channel:
        await channel.default_exchange.publish(again, f"flow.{FLOW}")


async def _has(port: int, name: str, value: float) -> bool:
    return (await metrics_of(port))[name] >= value
