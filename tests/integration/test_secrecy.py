"""Payloads and secrets are in no log, no metric and no reason, whatever goes wrong; event and trace ids are."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from aiohttp import web

from sandbox.ports import free_ports
from tests.contract.rest_loopback import target
from tests.kit.broker import Broker, manage
from tests.kit.cli import FLOW, REFUSED_PORT, Cli, one_flow
from tests.kit.database import Database
from tests.kit.probe import answer_of
from tests.kit.process import Process
from tests.kit.urls import with_port, with_user
from tests.kit.waiting import until

PAYLOAD = "CANARY-PAYLOAD-4711"
SECRET = "CANARY-SECRET-0815"
CANARY = "CANARY"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADERS = {"traceparent": TRACEPARENT, "note": PAYLOAD}


async def hostile(request: web.Request) -> web.StreamResponse:
    """Fail in the way that the event's type asks for, and repeat whatever was sent."""
    sent = await request.json()
    told = f"{sent['customer']} {sent['way']} {request.headers['Authorization']} {request.headers['X-Api-Key']}"
    echo = {"message": told, "detail": told, "error": {"message": told}, "title": told, "request": sent}
    match sent["way"]:
        case "fails":
            return web.json_response(echo, status=500)
        case "rejects":
            return web.json_response(echo, status=422)
        case "page":
            return web.Response(text=f"<h1>{told}</h1>", content_type="text/html")
        case "moved":
            return web.Response(status=302, headers={"Location": f"http://elsewhere.example/{sent['customer']}?{told}"})
        case "lies":
            return web.Response(text=told, content_type="application/json")
    return web.json_response({"deal": {"id": "D-1"}}, status=201)


WAYS = {
    "fails": "in_doubt",
    "rejects": "dead",
    "page": "in_doubt",
    "moved": "in_doubt",
    "lies": "in_doubt",
    "works": "applied",
    "no object": "dead",
}


@asynccontextmanager
async def secret_users(database: Database, broker: Broker) -> AsyncIterator[tuple[str, str]]:
    """Give users whose passwords can be looked for."""
    name = f"secret_{uuid.uuid4().hex[:12]}"
    assert broker.management_url is not None
    async with database.connection() as connection:
        await connection.execute(f"create role {name} login password '{SECRET}' in role outbox_relay, outbox_adapter")
        await manage(broker.management_url, "PUT", f"/api/users/{name}", {"password": SECRET, "tags": ""})
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        await manage(broker.management_url, "PUT", f"/api/permissions/{broker.vhost}/{name}", everything)
        try:
            yield with_user(database.url, name, SECRET), with_user(broker.url, name, SECRET)
        finally:
            await manage(broker.management_url, "DELETE", f"/api/users/{name}")
            await connection.execute(f"drop role {name}")


async def emit_all(database: Database) -> None:
    for way in WAYS:
        event = PAYLOAD if way == "no object" else {"customer": PAYLOAD, "way": way, "amount": "12.50"}
        await database.value(
            "select outbox.emit($1, null, $2::text::json, $3::text::json)",
            f"order.{way.replace(' ', '_')}",
            json.dumps(event),
            json.dumps(HEADERS),
        )
    await database.value(
        "select outbox.emit('order.large', null, to_json(repeat($1, 100000)), $2::text::json)",
        PAYLOAD,
        json.dumps(HEADERS),
    )


def written(process: Process) -> str:
    return json.dumps(process.lines) + "\n".join(process.garbage)


async def test_nothing_that_operations_see_holds_a_payload_or_a_secret(
    cli: Cli, database: Database, broker: Broker
) -> None:
    (port,) = free_ports(1)
    async with target(hostile) as crm_url, secret_users(database, broker) as (pg_url, amqp_url):
        settings = one_flow(crm_url, bearer=SECRET)
        settings["rabbitmq"] = {"max_payload_bytes": "1MiB"}
        settings["flows"][FLOW]["adapter"]["headers"] = {"X-Api-Key": SECRET}  # type: ignore[index]
        cli.settings(settings)
        cli = replace(cli, pg_url=pg_url, amqp_url=amqp_url)
        async with cli.running("run", OUTBOX_HTTP_PORT=str(port)) as process:
            await process.logged("service started", service="http")
            await emit_all(database)
            for way, state in WAYS.items():
                await until(lambda w=way, s=state: _is(database, w, s), what=f"{way} is {state}")
            await process.logged("event rejected")
            await until(lambda: _letters(process), what="the dead letters are published")
            _, metrics = await answer_of(port, "/metrics")
            _, health = await answer_of(port, "/livez")
        status = await cli("status")
        away = await _of_refused(replace(cli, amqp_url=with_port(amqp_url, REFUSED_PORT)))
        down = await _of_refused(replace(cli, pg_url=with_port(pg_url, REFUSED_PORT)))
        wrong = await replace(cli, amqp_url=with_user(amqp_url, "nobody", SECRET))("relay")
        config = await cli("config", "--json")

    for text in (written(process), metrics, health, away, down, status.out, wrong.err, wrong.out, config.out):
        assert CANARY not in text
    reasons = await database.rows(
        "select reason from inbox.attempt union all select reason from inbox.delivery"
        " union all select reason from outbox.rejected"
    )
    assert [row["reason"] for row in reasons if CANARY in (row["reason"] or "")] == []
    assert {"POST /deals: answered 422: *** *** Bearer *** ***", None} <= {row["reason"] for row in reasons}
    _check_ids(process)


def _check_ids(process: Process) -> None:
    attempts = process.find("attempt ended")
    assert {line["trace_id"] for line in attempts} == {"0af7651916cd43dd8448eb211c80319c"}
    assert all(uuid.UUID(line["event_id"]) for line in attempts)
    for event in ("event rejected", "parked", "dead letter"):
        assert all(uuid.UUID(line["event_id"]) for line in process.find(event))


async def _is(database: Database, way: str, state: str) -> bool:
    event_type = f"order.{way.replace(' ', '_')}"
    return await database.value("select state from inbox.delivery where type = $1", event_type) == state


async def _letters(process: Process) -> bool:
    return len(process.find("dead letter")) >= list(WAYS.values()).count("dead")


async def _of_refused(cli: Cli) -> str:
    async with cli.running("run") as process:
        await process.logged("service waiting")
    return written(process)
