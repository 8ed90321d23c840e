"""A payload that is too large for a message: the flow applies it all the same, and others fetch it over HTTP."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aio_pika import Message
from aiohttp import web

from outbox.app import App, Roles
from outbox.config.settings import Settings
from sandbox.crm import CrmServer
from tests.contract.rest_loopback import target
from tests.kit.broker import Broker
from tests.kit.database import Database
from tests.kit.running import FLOW, Integration, running
from tests.kit.waiting import until

MIB = 1024 * 1024
TOKEN = "a-token-for-payloads-only"
BY_REFERENCE = {"claim_check": {"above": "1MiB"}}
# Every digit, blank and escape must survive.
LARGE = '{ "amount" : 1.10,\n\t"text": "\\u00fc ü", "filler": "' + "x" * 3 * MIB + '" }'


@pytest.fixture
async def integration(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Integration]:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as crm:
        yield Integration(database, broker, crm, tmp_path)


async def _emit(database: Database, payload: str, *, key: str | None = "SO-1") -> str:
    # A zero character is a header like any other, and one that PostgreSQL's own operators refuse to read.
    headers = r'{"nul": "\u0000"}'
    return str(
        await database.value(
            "select outbox.emit('order.confirmed', $1, $2::text::json, $3::text::json)", key, payload, headers
        )
    )


@asynccontextmanager
async def _serving(settings: Settings, roles: Roles) -> AsyncIterator[tuple[App, aiohttp.ClientSession]]:
    """Run a process, and give a client of its HTTP server."""
    async with running(settings, roles) as app:

        async def port() -> int | None:
            return app.admin.bound_port

        base = f"http://127.0.0.1:{await until(port, what='HTTP is served')}"
        async with aiohttp.ClientSession(base, timeout=aiohttp.ClientTimeout(total=30)) as client:
            yield app, client


async def test_a_large_payload_reaches_the_target_with_every_byte_and_in_order(integration: Integration) -> None:
    arrived: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        arrived.append(await request.content.read())
        return web.json_response({"deal": {"id": "D-1"}}, status=201)

    async with target(take) as url:
        settings = integration.settings(
            mapping=[], relay=BY_REFERENCE, connections={"crm": {"base_url": url, "timeout": "20s"}}
        )
        async with running(settings):
            ids = [await _emit(integration.database, payload) for payload in ('{"n":1}', LARGE, '{"n":3}')]
            await integration.in_state(ids[-1], "applied")

    assert [json.loads(body) for body in arrived] == [{"n": 1}, json.loads(LARGE), {"n": 3}]
    bodies = await integration.database.rows("select body from inbox.message order by delivery_id")
    assert [bytes(row["body"]) for row in bodies] == [b'{"n":1}', LARGE.encode(), b'{"n":3}']


async def test_a_foreign_consumer_fetches_the_exact_bytes_with_the_token(integration: Integration) -> None:
    settings = integration.settings(relay=BY_REFERENCE, http={"port": 0, "payload_token": TOKEN})
    async with _serving(settings, Roles(is_relay=True)) as (_, client):
        await _exchange_there(integration.broker)
        await integration.broker.bind_audit()
        event_id = await _emit(integration.database, LARGE)
        await until(lambda: integration.broker.depth("audit"), what="the message is there")
        (message,) = await integration.broker.take("audit")
        async with client.get(str(message.headers["cloudEvents_dataref"]), headers=_bearer(TOKEN)) as answer:
            body, headers = await answer.read(), answer.headers
        async with client.get(answer.url, headers={**_bearer(TOKEN), "If-None-Match": headers["ETag"]}) as unchanged:
            assert (unchanged.status, await unchanged.read()) == (304, b"")

    assert (message.body, message.content_type) == (b"", "application/vnd.outbox.claim-check")
    assert (message.message_id, message.type) == (event_id, "order.confirmed")
    assert {name: value for name, value in message.headers.items() if name.startswith("x-outbox-")} == {
        "x-outbox-claim-check": f"1/{event_id}",
        "x-outbox-payload-bytes": len(LARGE.encode()),
        "x-outbox-payload-content-type": "application/json",
    }
    assert (message.headers["key"], message.headers["sequence"]) == ("SO-1", 1)
    assert body == LARGE.encode()
    assert headers["Content-Type"] == "application/json"
    assert headers["Content-Length"] == str(len(body))
    assert headers["ETag"] == f'"{hashlib.sha256(body).hexdigest()}"'


async def test_without_the_token_nobody_learns_anything(integration: Integration) -> None:
    settings = integration.settings(http={"port": 0, "payload_token": TOKEN})
    async with _serving(settings, Roles(is_relay=True)) as (_, client):
        event_id = await _emit(integration.database, '{"secret": 1}')
        there, not_there = f"/events/1/{event_id}/payload", f"/events/1/{uuid.uuid4()}/payload"
        refused = [
            await _asked(client, path, headers)
            for path in (there, not_there, "/events/x/y/payload")
            for headers in ({}, _bearer("wrong"), _bearer(TOKEN + "x"), {"Authorization": f"Basic {TOKEN}"})
        ]
        allowed = await _asked(client, there, _bearer(TOKEN))
        unknown = [
            await _asked(client, path, _bearer(TOKEN))
            for path in (not_there, f"/events/2/{event_id}/payload", f"/events/{2**63}/{event_id}/payload")
        ]
        await integration.database.value("delete from outbox.event returning id")
        dropped = await _asked(client, there, _bearer(TOKEN))

    assert {(status, kind, challenge) for status, kind, challenge, _ in refused} == {
        (401, "application/problem+json", 'Bearer realm="outbox"')
    }
    assert (allowed[0], allowed[3]) == (200, '{"secret": 1}')
    assert {(status, kind) for status, kind, _, _ in [*unknown, dropped]} == {(404, "application/problem+json")}
    assert "retention has dropped it" in json.loads(dropped[3])["detail"]


async def test_without_a_token_in_the_settings_there_is_no_endpoint(integration: Integration) -> None:
    async with _serving(integration.settings(), Roles(is_relay=True)) as (_, client):
        event_id = await _emit(integration.database, "{}")
        status, kind, _, _ = await _asked(client, f"/events/1/{event_id}/payload", _bearer(TOKEN))

    assert (status, kind) == (404, "text/plain")


async def test_a_payload_that_retention_has_dropped_is_a_dead_letter_that_holds_up_its_key_only(
    integration: Integration,
) -> None:
    async with running(integration.settings(relay=BY_REFERENCE), Roles(is_relay=True)):
        await _exchange_there(integration.broker)
        async with integration.broker.channel() as channel:
            queue = await channel.declare_queue("held", durable=True)
            await queue.bind("outbox.events", "order.confirmed")
        gone = await _emit(integration.database, LARGE, key="C-9")
        await until(lambda: integration.broker.depth("held"), what="the message is there")
    (message,) = await integration.broker.take("held")
    await integration.database.value("delete from outbox.event returning id")

    async with running(integration.settings(relay=BY_REFERENCE)):
        other = await integration.emit("SO-2", customer="C-2")
        async with integration.broker.channel() as channel:
            late = Message(message.body, headers=message.headers, message_id=message.message_id, type=message.type)
            await channel.default_exchange.publish(late, f"flow.{FLOW}")
        row = await integration.in_state(gone, "dead")
        await integration.in_state(other, "applied")
        await until(lambda: integration.broker.depth(f"dead.{FLOW}"), what="the copy is there")
        (letter,) = await integration.broker.take(f"dead.{FLOW}")

    assert row["reason_class"] == "payload_gone"
    assert "retention has dropped the row" in row["reason"]
    assert (letter.body, letter.content_type) == (b"", "application/vnd.outbox.claim-check")
    assert letter.headers["x-outbox-claim-check"] == message.headers["x-outbox-claim-check"]


async def test_the_dead_letter_of_a_large_event_refers_to_its_payload(integration: Integration) -> None:
    async with running(integration.settings(relay=BY_REFERENCE)):
        event_id = await _emit(integration.database, LARGE)
        row = await integration.in_state(event_id, "dead")
        await until(lambda: integration.broker.depth(f"dead.{FLOW}"), what="the copy is there")
        (letter,) = await integration.broker.take(f"dead.{FLOW}")

    assert row["reason_class"] == "mapping", "the payload itself was there and was read"
    assert (letter.body, letter.headers["x-outbox-claim-check"]) == (b"", f"1/{event_id}")


async def _exchange_there(broker: Broker) -> None:
    async def look() -> bool:
        async with broker.channel() as channel:
            try:
                await channel.get_exchange("outbox.events", ensure=True)
            except Exception:  # noqa: BLE001 - not yet
                return False
        return True

    await until(look, what="the exchange is declared")


async def _asked(client: aiohttp.ClientSession, path: str, headers: dict[str, str]) -> tuple[int, str, str | None, str]:
    async with client.get(path, headers=headers) as answer:
        return answer.status, answer.content_type, answer.headers.get("WWW-Authenticate"), await answer.text()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
