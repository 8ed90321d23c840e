"""The intake as people run it: its limits, its place beside relay and consumers, and what it never writes down."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from outbox.model.errors import ExitCode
from sandbox.ports import free_ports
from tests.kit.broker import Broker
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.intake import SECTIONS, TOKEN, intake_settings, order, partner_of
from tests.kit.intake_requests import STANDARD_SECRET, standard_headers
from tests.kit.probe import answer_of
from tests.kit.waiting import until

CANARY = "CANARY-0815"


async def test_a_source_that_sends_too_much_is_told_when_to_come_again_and_nobody_else_can_use_its_share(
    database: Database, tmp_path: Path
) -> None:
    partner = SECTIONS["sources"]["partner"] | {"rate": "1/h", "burst": 3}
    settings = intake_settings(database, tmp_path, sources={"partner": partner})
    async with partner_of(database, settings) as at:
        forged = standard_headers(order(), at=str(int(time.time()))) | {"webhook-signature": "v1,Zm9yZ2Vk"}
        for _ in range(20):
            assert (await at.post("/intake/partner", order(), forged)).status == 401
        statuses = [(await at.partner(order(number))).status for number in range(4)]
        assert statuses == [202, 202, 202, 429]
        refused = await at.partner(order(4))
        assert refused.problem == "rate-limited"
        assert 3000 < int(refused.headers["Retry-After"]) <= 3600
    assert await database.value("select count(*) from outbox.event") == 3


async def test_a_client_that_sends_too_much_is_told_when_to_come_again(database: Database, tmp_path: Path) -> None:
    commands = {"types": {"order.hold": {}}, "clients": {"portal": {"tokens": [TOKEN], "rate": "1/h", "burst": 1}}}
    async with partner_of(database, intake_settings(database, tmp_path, commands=commands)) as at:
        statuses = [(await at.command(b"{}", key=f"k-{number}", kind="order.hold")).status for number in range(2)]
    assert statuses == [202, 429]


async def test_behind_a_proxy_the_address_that_the_proxy_has_added_is_shown(database: Database, tmp_path: Path) -> None:
    async with partner_of(database, intake_settings(database, tmp_path, remote_header="X-Forwarded-For")) as at:
        await at.post("/intake/partner", b"{}", {"X-Forwarded-For": "forged, 192.0.2.7"})
        await at.post("/intake/nobody", b"{}")
    rows = await database.rows("select source, remote from intake.refused order by source")
    assert [(row["source"], row["remote"]) for row in rows] == [("", "127.0.0.1"), ("partner", "192.0.2.7")]


@pytest.mark.parametrize("address", ["ä".encode() * 64, b"\xff\xfe 192.0.2.7"])
async def test_an_address_that_is_none_is_noted_in_ascii_and_ends_nothing(
    database: Database, tmp_path: Path, address: bytes
) -> None:
    async with partner_of(database, intake_settings(database, tmp_path, remote_header="X-Real-IP")) as at:
        request = b"POST /intake/partner HTTP/1.1\r\nHost: here\r\nX-Real-IP: %b\r\nContent-Length: 0\r\n\r\n" % address
        assert at.app.intake is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", at.app.intake.server.bound_port)
        writer.write(request)
        assert b" 401 " in await reader.readline()
        writer.close()
    (row,) = await database.rows("select source, remote, requests from intake.refused")
    assert (row["source"], row["requests"]) == ("partner", 1)
    assert row["remote"].isascii()
    assert 0 < len(row["remote"]) <= 64


async def test_a_webhook_is_published_by_the_process_that_has_taken_it(
    cli: Cli, database: Database, broker: Broker
) -> None:
    cli.settings({"intake": {**SECTIONS}})
    async with (
        replace(cli, pg_url=database.url, amqp_url=broker.url).running("run") as process,
        aiohttp.ClientSession() as client,
    ):
        port = (await process.logged("intake listening"))["port"]
        headers = standard_headers(order(), at=str(int(time.time())), name="m-1") | {"Content-Type": "application/json"}

        async def is_taken() -> bool:
            async with client.post(f"http://127.0.0.1:{port}/intake/partner", data=order(), headers=headers) as answer:
                return answer.status == 202

        await until(is_taken, what="the webhook is taken")

        await process.logged("page published", events=1)
    assert await database.value("select count(*) from outbox.event") == 1


async def test_without_anybody_to_listen_to_the_verb_says_what_to_add_and_run_does_without_it(cli: Cli) -> None:
    ended = await cli("intake")
    assert ended.refusal(ExitCode.USAGE).startswith("there is nobody to listen to: add a source under intake.sources")


async def test_a_port_that_is_taken_is_told_with_the_setting(cli: Cli, database: Database) -> None:
    async with partner_of(database, intake_settings(database, cli.folder)) as at:
        assert at.app.intake is not None
        cli.settings({"intake": {**SECTIONS, "port": at.app.intake.server.bound_port}})
        ended = await replace(cli, pg_url=database.url)("intake")
    assert "address already in use next step: set intake.port to a free port" in ended.refusal(ExitCode.MISCONFIGURED)


async def test_a_database_that_is_not_migrated_is_told_at_the_start(cli: Cli, empty_database: Database) -> None:
    cli.settings({"intake": {**SECTIONS}})
    ended = await replace(cli, pg_url=empty_database.url)("intake")
    assert 'run "outbox migrate"' in ended.refusal(ExitCode.MISCONFIGURED)


async def test_nothing_that_operations_see_holds_a_payload_a_token_or_a_secret(cli: Cli, database: Database) -> None:
    (http_port,) = free_ports(1)
    token = f"{CANARY}-token-of-the-portal"
    commands = SECTIONS["commands"] | {"clients": {"portal": {"tokens": [token]}}}
    cli.settings({"intake": {**SECTIONS, "commands": commands}})
    at = replace(cli, pg_url=database.url)
    async with at.running("intake", OUTBOX_HTTP_PORT=str(http_port)) as process, aiohttp.ClientSession() as client:
        port = (await process.logged("intake listening"))["port"]

        async def send(path: str, body: bytes, headers: dict[str, str]) -> int:
            sent = {"Content-Type": "application/json"} | headers
            async with client.post(f"http://127.0.0.1:{port}{path}", data=body, headers=sent) as answer:
                if answer.status >= 400:
                    assert CANARY not in await answer.text()
                return answer.status

        now = str(int(time.time()))
        good = json.dumps({"type": "order.placed", "data": {"order": "SO-1", "note": CANARY}}).encode()

        async def is_taken() -> bool:
            return await send("/intake/partner", good, standard_headers(good, at=now)) == 202

        await until(is_taken, what="a webhook is taken")
        other = good.replace(b"SO-1", b"SO-2")
        assert await send("/intake/partner", other, standard_headers(other, at=now)) == 202
        bad = json.dumps({"type": CANARY, "data": {CANARY: CANARY}}).encode()
        assert await send("/intake/partner", bad, standard_headers(bad, at=now, name="m-2")) == 422
        assert await send("/intake/partner", good, {"webhook-signature": CANARY, "webhook-id": CANARY}) == 400
        assert await send("/commands/order.cancel", bad, {"Authorization": f"Bearer {token}x"}) == 401
        assert (
            await send("/commands/order.cancel", bad, {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"})
            == 422
        )
        assert await send(f"/{CANARY}", bad, {CANARY: CANARY}) == 404
        await process.logged("a known id came with another content, which was not taken", source="partner")
        await process.logged("requests refused")
        _, metrics = await answer_of(http_port, "/metrics")
    logged = json.dumps(process.lines) + "".join(process.garbage)
    rows = await database.rows("select r::text as whole from intake.refused r")
    assert rows
    for text in (logged, metrics, *(row["whole"] for row in rows)):
        assert CANARY not in text
        assert STANDARD_SECRET not in text
    shown = await at("config")
    assert CANARY not in shown.out
    assert STANDARD_SECRET not in shown.out
