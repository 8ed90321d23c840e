"""The Node of docs/consuming.md: a service outside of Python reads what the contract says, and takes it once."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.ports import free_ports
from tests.kit.broker import Broker
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.downstream import QUEUE, Service, acknowledged, downstream, node_consumer
from tests.kit.raw_amqp import bare_properties, number_entry, publish_raw
from tests.kit.shared_servers import Addresses
from tests.kit.waiting import until

TOKEN = "0123456789abcdef"
# A relay that is killed has saved nothing: the next one publishes everything again. Above 300 bytes: a reference.
SETTINGS = {
    "relay": {"save_every": "25s", "source": "/erp", "claim_check": {"above": 300}},
    "http": {"payload_token": TOKEN},
}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
# The application's own headers; JSON text as it was written, with what a parser would change.
HEADERS = {"mandant": "Müller & Søn 株式会社", "priority": 7, "is_test": False, "traceparent": TRACEPARENT}
PAYLOAD = '{"order_ref":  "Ä-1 ☃", "amount": 12345678901234567890.10, "amount_text": "1.50", "n": 1e2}'
EMIT = "select outbox.emit('order.confirmed', $1, $2::text::json, headers => $3::text::json)"
KEYS = ("Auftrag-Ä☃", "SO-2")


@pytest.fixture
def relay(cli: Cli, database: Database, broker: Broker) -> Cli:
    placed = replace(cli, pg_url=database.url, amqp_url=broker.url)
    placed.settings(SETTINGS)
    return placed


@pytest.fixture
async def service(servers: Addresses, broker: Broker, tmp_path: Path) -> AsyncIterator[Service]:
    async with downstream(servers.pg_url, broker, node_consumer(tmp_path)) as ready:
        yield ready


async def test_a_service_in_node_reads_the_contract_and_takes_each_message_once_and_in_order(
    relay: Cli, service: Service, database: Database
) -> None:
    first_relay = await relay.start("relay")
    try:
        await first_relay.logged("caught up")
        async with service.consuming() as consumer:
            events = [await _emit(database, KEYS[number % 2]) for number in range(6)]
            await acknowledged(consumer, set(events))
            arrived = consumer.find("arrived")
        rows = {str(row["event_id"]): row for row in await database.rows("select * from outbox.event")}
        # In order for their key; among keys there is none.
        for key in KEYS:
            in_order = [event for event in events if rows[event]["key"] == key]
            assert [line["messageId"] for line in arrived if line["messageId"] in in_order] == in_order
        for line in arrived:
            _is_as_documented(line, rows[line["messageId"]])

        # Killed with the effect committed and not acknowledged; then everything again, from the relay.
        events += [await _emit(database, KEYS[number % 2]) for number in range(6)]
        async with service.consuming(hang_at=events[-2]) as consumer:
            await consumer.logged("acknowledging", message_id=events[-2])
        await first_relay.kill()
        async with service.consuming() as consumer, relay.running("relay"):
            await acknowledged(consumer, set(events))
            assert await _is_drained(service)
    finally:
        await first_relay.kill()

    rows = {str(row["event_id"]): row for row in await database.rows("select event_id, key from outbox.event")}
    invoices = [event for event, _ in await service.invoices()]
    assert sorted(invoices) == sorted(events)
    for key in KEYS:
        assert [one for one in invoices if rows[one]["key"] == key] == [
            one for one in events if rows[one]["key"] == key
        ]
    told = await service.database.value("select distinct (order_ref, amount::text)::text from invoice")
    assert told == '("Ä-1 ☃",12345678901234567890.10)'


async def test_a_service_in_node_refuses_what_it_cannot_apply_and_ends_when_the_broker_ends_its_consumer(
    relay: Cli, service: Service, database: Database
) -> None:
    async with relay.running("relay") as running:
        await running.logged("caught up")
        async with service.consuming() as consumer:
            foreign = [bare_properties(headers) for headers in (None, number_entry(b"sequence", 1))]
            await publish_raw(service.broker.url, QUEUE, foreign)
            bad = await _emit(database, "SO-1", payload='{"order_ref": "SO-1", "amount": "ten"}')
            good = await _emit(database, "SO-1")
            await acknowledged(consumer, {good})
            assert [line["message_id"] for line in consumer.find("rejecting")] == [None, None, bad]
            async with service.broker.channel() as channel:
                await channel.queue_delete(QUEUE)
            assert await consumer.ended() == 1, consumer.tail()
            assert "the broker has cancelled the consumer" in consumer.garbage
    assert [event for event, _ in await service.invoices()] == [good]


async def test_a_service_in_node_fetches_the_payload_of_a_claim_check_over_http(
    relay: Cli, service: Service, database: Database
) -> None:
    large = json.dumps({"order_ref": "Ä" * 300}, ensure_ascii=False)
    (port,) = free_ports(1)
    async with relay.running("relay", OUTBOX_HTTP_PORT=str(port)) as running:
        await running.logged("caught up")
        async with service.consuming() as consumer:
            event = await _emit(database, "SO-1", payload=large)
            arrived = await consumer.logged("arrived", messageId=event)
        sequence = await database.value("select id from outbox.event")
        headers = {name: value for name, _, value in arrived["headers"]}
        assert arrived["contentType"] == "application/vnd.outbox.claim-check"
        assert arrived["body"] == ""
        assert headers["x-outbox-claim-check"] == f"{sequence}/{event}"
        assert headers["x-outbox-payload-bytes"] == len(large.encode())
        fetched = await _fetch(service, headers, f"http://127.0.0.1:{port}")
        assert fetched == large.encode()


def _is_as_documented(line: Any, row: Any) -> None:  # noqa: ANN401 - JSON, and a row
    """Compare what Node was given with what stands in the outbox and in the document."""
    assert line["routingKey"] == line["type"] == row["type"] == "order.confirmed"
    assert (line["contentType"], line["appId"], line["deliveryMode"]) == ("application/json", "outbox", 2)
    assert abs(line["timestamp"] - row["created_at"].timestamp()) <= 0.5
    assert base64.b64decode(line["body"]) == row["payload"].encode() == PAYLOAD.encode()
    assert {(name, kind, value) for name, kind, value in line["headers"]} == {
        ("key", "string", row["key"]),
        ("sequence", "number", row["id"]),
        ("version", "number", 1),
        ("traceparent", "string", TRACEPARENT),
        ("mandant", "string", HEADERS["mandant"]),
        ("priority", "number", 7),
        ("is_test", "boolean", False),
        ("cloudEvents_specversion", "string", "1.0"),
        ("cloudEvents_id", "string", line["messageId"]),
        ("cloudEvents_source", "string", "/erp"),
        ("cloudEvents_type", "string", "order.confirmed"),
        ("cloudEvents_partitionkey", "string", row["key"]),
    }


async def _emit(database: Database, key: str, *, payload: str = PAYLOAD) -> str:
    return str(await database.value(EMIT, key, payload, json.dumps(HEADERS)))


async def _is_drained(service: Service) -> bool:
    async def is_empty() -> bool:
        return await service.broker.depth(QUEUE) == 0

    return await until(is_empty, what="the queue is empty")


async def _fetch(service: Service, headers: dict[str, object], sidecar: str) -> bytes:
    message = json.dumps({"properties": {"headers": headers}})
    code = (
        "import { payload } from './payload.mjs';"
        f"process.stdout.write(await payload({message}, '{sidecar}', '{TOKEN}'));"
    )
    process = await asyncio.create_subprocess_exec(
        service.consumer.command[0],
        "--input-type=module",
        "--eval",
        code,
        cwd=service.consumer.folder,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out
