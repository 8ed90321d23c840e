"""The intake's process killed, its database cut off, frozen and away: 202 is a row, and nothing is taken twice."""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from outbox.model.errors import ExitCode
from sandbox.tcp_proxy import Direction, TcpProxy
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.intake import SECTIONS, TOKEN, order
from tests.kit.intake_requests import standard_headers
from tests.kit.process import Process
from tests.kit.seeds import repeatable, seeds
from tests.kit.urls import port_of, with_port
from tests.kit.waiting import rest, until

BODY = b'{"order": "SO-1"}'


@asynccontextmanager
async def intake(cli: Cli, pg_url: str, **changes: object) -> AsyncIterator[tuple[Process, aiohttp.ClientSession]]:
    cli.settings({"intake": {**SECTIONS, "answer_within": "1s", **changes}})
    process = await Cli(cli.folder, pg_url=pg_url).start("intake")
    try:
        port = (await process.logged("intake listening"))["port"]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=aiohttp.TCPConnector(limit=0)) as client:
            yield process, client
    finally:
        await process.kill()


async def post(client: aiohttp.ClientSession, name: str) -> tuple[int, str]:
    """Send one webhook; return status and event id or problem."""
    headers = standard_headers(order(), at=str(int(time.time())), name=name) | {"Content-Type": "application/json"}
    async with client.post("/intake/partner", data=order(), headers=headers) as answer:
        document = await answer.json(content_type=None)
        if answer.status == 503:
            assert int(answer.headers["Retry-After"]) > 0
        return answer.status, document.get("event_id") or document["type"]


async def command(client: aiohttp.ClientSession, key: str) -> int:
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": key, "Content-Type": "application/json"}
    async with client.post("/commands/order.cancel", data=BODY, headers=headers) as answer:
        return answer.status


async def taken(client: aiohttp.ClientSession, name: str) -> str:
    """Send until it is taken, as senders do, and return the event's id."""

    async def look() -> str | None:
        status, told = await post(client, name)
        return told if status == 202 else None

    found = await until(look, what=f"{name} is taken")
    assert found is not None
    return found


async def waits_for_a_lock(database: Database) -> bool:
    waiting = await database.value(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'outbox-intake'"
        " and datname = current_database()"
    )
    return waiting == 1


async def ids_by_name(database: Database) -> dict[str, str]:
    rows = await database.rows("select event_id::text, headers->>'intake_id' as name from outbox.event")
    by_name = {row["name"]: row["event_id"] for row in rows}
    assert len(by_name) == len(rows), "an event was taken twice"
    return by_name


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.mark.parametrize("seed", seeds(1, 2, 3))
async def test_a_killed_process_has_committed_whatever_it_has_answered(cli: Cli, database: Database, seed: int) -> None:
    answered: dict[str, str] = {}
    sent: set[str] = set()
    chance = random.Random(seed)

    async def send(client: aiohttp.ClientSession, sender: int) -> None:
        try:
            for number in range(10_000):
                name = f"{sender}-{number}"
                sent.add(name)
                status, told = await post(client, name)
                if status == 202:
                    answered[name] = told
        except (aiohttp.ClientError, ConnectionError):
            return

    with repeatable(seed):
        async with intake(cli, database.url) as (process, client), asyncio.TaskGroup() as group:
            await taken(client, "first")
            for sender in range(20):
                group.create_task(send(client, sender))

            async def is_busy() -> bool:
                return len(answered) > 100

            await until(is_busy, what="many are answered")
            await rest(chance.random() / 10)
            await process.kill()

        by_name = await ids_by_name(database)
        assert len(answered) > 100
        assert {name: by_name.get(name) for name in answered} == answered

        async with intake(cli, database.url) as (_, client):
            for name in sorted(sent)[:200]:
                told = await taken(client, name)
                assert answered.get(name, told) == told
        assert len(await ids_by_name(database)) >= len(answered)


async def test_a_key_is_not_in_progress_any_more_when_whoever_took_it_was_killed(cli: Cli, database: Database) -> None:
    async with (
        database.connection() as connection,
        intake(cli, database.url, answer_within="30s") as (process, client),
        asyncio.TaskGroup() as group,
    ):
        await taken(client, "m-0")
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("lock table outbox.event in exclusive mode")

        async def first() -> None:
            with pytest.raises(aiohttp.ClientError):
                await command(client, "k-1")

        group.create_task(first())
        await until(lambda: waits_for_a_lock(database), what="the command waits for the table")
        assert await command(client, "k-1") == 409
        await process.kill()
        await transaction.rollback()

    async with intake(cli, database.url) as (_, client):

        async def is_taken() -> bool:
            return await command(client, "k-1") == 202

        await until(is_taken, what="the command is taken")
        assert await command(client, "k-1") == 202
    assert await database.value("select count(*) from outbox.event where type = 'order.cancel'") == 1


async def test_while_the_database_is_away_the_answer_is_503_and_afterwards_all_is_taken_once(
    cli: Cli, database: Database
) -> None:
    async with (
        TcpProxy("127.0.0.1", port_of(database.url)) as proxy,
        intake(cli, with_port(database.url, proxy.port)) as (process, client),
    ):
        first = await taken(client, "m-0")
        proxy.refuse()
        proxy.cut()
        mark = process.mark()
        names = [f"m-{number}" for number in range(1, 30)]
        assert {(await post(client, name))[0] for name in names} == {503}
        await process.logged("service waiting", since=mark, service="intake commit")
        await proxy.accept()
        ids = [await taken(client, name) for name in names]
        assert await taken(client, "m-0") == first
        assert len(set(ids)) == 29

        # It answers nothing any more, and does not say that it is gone.
        proxy.stall(Direction.TO_TARGET, Direction.TO_CLIENT)
        began = time.monotonic()
        assert (await post(client, "m-30"))[0] == 503
        assert time.monotonic() - began < 5
        proxy.resume()
        await taken(client, "m-30")
        assert await client.get("/openapi.json")
    assert len(await ids_by_name(database)) == 31


async def test_a_commit_whose_answer_was_lost_is_known_when_it_comes_again(cli: Cli, database: Database) -> None:
    async with (
        TcpProxy("127.0.0.1", port_of(database.url)) as proxy,
        intake(cli, with_port(database.url, proxy.port)) as (_, client),
    ):
        await taken(client, "m-0")
        for number, count in enumerate((1, 20, 60, 100, 140)):
            proxy.cut_after(count, Direction.TO_CLIENT)
            name = f"lost-{number}-{uuid.uuid4()}"
            status, _ = await post(client, name)
            told = await taken(client, name)
            assert status in {202, 503}
            assert (await ids_by_name(database))[name] == told


async def test_a_process_that_is_asked_to_end_answers_what_it_has_begun(cli: Cli, database: Database) -> None:
    async with (
        database.connection() as connection,
        intake(cli, database.url, answer_within="30s") as (process, client),
        asyncio.TaskGroup() as group,
    ):
        await taken(client, "m-0")
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("lock table outbox.event in exclusive mode")
        under_way = [group.create_task(post(client, f"m-{number}")) for number in range(1, 10)]
        await until(lambda: waits_for_a_lock(database), what="a group waits for the table")
        process.ask_to_end()
        await process.logged("draining")
        await transaction.rollback()
        assert await process.ended() == ExitCode.OK
        assert {(await one)[0] for one in under_way} == {202}
    assert len(await ids_by_name(database)) == 10
    assert json.dumps(process.lines).count("this is a bug") == 0
