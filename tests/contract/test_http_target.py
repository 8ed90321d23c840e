"""What the flows of one connection share: its limit of calls, its connections and its login."""

import asyncio
import json
import math
import time
from pathlib import Path

import pytest
from aiohttp import web

from adapters.answers import Answer, Fault, NoAnswer
from adapters.http_target import HttpTarget
from adapters.registry import ADAPTERS
from outbox.config.load import load
from outbox.model.adapter import Request
from outbox.model.connection import Connection
from outbox.wiring_targets import adapters_of
from tests.contract.rest_loopback import OK, Peer, raw_server, target
from tests.kit.waiting import rest


async def test_all_flows_of_a_connection_together_keep_to_its_limit() -> None:
    release = asyncio.Event()

    async def session(peer: Peer) -> None:
        await peer.read_request()
        await release.wait()

    async with raw_server(session) as server:
        settings = Connection.model_validate({"base_url": server.url, "max_connections": 2, "timeout": "0.5s"})
        shared = HttpTarget(settings)
        async with asyncio.TaskGroup() as group:
            calls = [
                group.create_task(
                    shared.call(Request("POST", server.url, b"{}"), is_repeatable=number % 2 == 0, leave_by=math.inf)
                )
                for number in range(6)
            ]
            while server.connections < 2:
                await asyncio.to_thread(lambda: None)
        release.set()
        await shared.close()

    # Those that waited found the places of the first two when these gave up, or were told that all were busy.
    came = [call.result() for call in calls]
    assert all(isinstance(one, NoAnswer) for one in came)
    assert len(server.requests) == sum(isinstance(one, NoAnswer) and one.was_sent for one in came) < 6


async def test_what_gets_no_place_in_time_does_not_leave() -> None:
    release = asyncio.Event()

    async def session(peer: Peer) -> None:
        await peer.read_request()
        await release.wait()
        await peer.answer(OK)

    async with raw_server(session) as server:
        shared = HttpTarget(Connection.model_validate({"base_url": server.url, "max_connections": 1}))
        async with asyncio.TaskGroup() as group:
            request = Request("POST", server.url, b"{}")
            holding = group.create_task(shared.call(request, is_repeatable=False, leave_by=math.inf))
            while not server.requests:
                await asyncio.to_thread(lambda: None)
            late = await shared.call(request, is_repeatable=False, leave_by=time.monotonic() + 0.2)
            release.set()
        await shared.close()

    assert isinstance(holding.result(), Answer)
    assert late == NoAnswer(was_sent=False, reason="all 1 connections were busy for 0.2 s", fault=Fault.BUSY)
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"{}", b""])
async def test_what_had_to_wait_too_long_for_its_token_does_not_leave(body: bytes) -> None:
    calls = 0
    leave_by = time.monotonic() + 0.2

    async def serve(request: web.Request) -> web.Response:
        nonlocal calls
        if request.path == "/token":
            await rest(leave_by - time.monotonic() + 0.05)
            return web.json_response({"access_token": "t", "expires_in": 60})
        calls += 1
        return web.json_response({})

    async with target(serve) as url:
        login = {"token_url": f"{url}/token", "client_id": "a", "client_secret": "b"}
        shared = HttpTarget(Connection.model_validate({"base_url": url, "oauth2": login}))
        request = Request("POST", url, body)
        late = await shared.call(request, is_repeatable=True, leave_by=leave_by)
        in_time = await shared.call(request, is_repeatable=True, leave_by=time.monotonic() + 30)
        await shared.close()

    reason = "not sent: what it had to wait for took too long"
    assert late == NoAnswer(was_sent=False, reason=reason, fault=Fault.BUSY)
    assert isinstance(in_time, Answer)
    assert calls == 1


async def test_a_kept_connection_carries_only_what_may_be_repeated() -> None:
    async def session(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.answer(OK)

    async with raw_server(session) as server:
        shared = HttpTarget(Connection(base_url=server.url))
        for is_repeatable, connections in ((True, 1), (True, 1), (False, 2), (True, 2), (False, 3)):
            came = await shared.call(Request("POST", server.url, b"{}"), is_repeatable=is_repeatable, leave_by=math.inf)
            assert isinstance(came, Answer)
            assert server.connections == connections
        await shared.close()


async def test_flows_of_a_connection_fetch_one_token() -> None:
    fetched = 0

    async def serve(request: web.Request) -> web.Response:
        nonlocal fetched
        if request.path == "/token":
            fetched += 1
            return web.json_response({"access_token": "t", "expires_in": 60})
        return web.json_response({})

    async with target(serve) as url:
        login = {"token_url": f"{url}/token", "client_id": "a", "client_secret": "b"}
        shared = HttpTarget(Connection.model_validate({"base_url": url, "oauth2": login}))
        async with asyncio.TaskGroup() as group:
            for is_repeatable in (True, False, True, False):
                group.create_task(
                    shared.call(Request("POST", url, b"{}"), is_repeatable=is_repeatable, leave_by=math.inf)
                )
        await shared.close()

    assert fetched == 1


def test_the_flows_of_one_process_share_what_their_connection_has(tmp_path: Path) -> None:
    flow = {
        "description": "Orders become deals",
        "events": ["order.confirmed"],
        "adapter": {
            "use": "rest",
            "connection": "crm",
            "operations": {"order.confirmed": {"method": "POST", "path": "/deals"}},
        },
    }
    other = flow | {"adapter": flow["adapter"] | {"connection": "shop"}}
    crm = {"base_url": "https://crm.example.com"}
    file = tmp_path / "outbox.yaml"
    content = {"connections": {"crm": crm, "shop": crm}, "flows": {"a": flow, "b": flow, "c": other}}
    file.write_text(json.dumps(content), encoding="utf-8")
    settings = load(
        path=file,
        environ={"OUTBOX_PG_URL": "postgresql://db/erp", "OUTBOX_AMQP_URL": "amqp://mq/"},
        adapters={name: kind.settings for name, kind in ADAPTERS.items()},
    )

    first, second, third = (adapter._target for adapter in adapters_of(settings).values())

    assert first is second
    assert first is not third
