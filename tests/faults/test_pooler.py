"""pgbouncer in transaction mode before the database: what works through it, and what says that it cannot."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from outbox.client import emit
from outbox.model.errors import ExitCode
from outbox.postgres.connection import PostgresServer, connect
from sandbox.private_pgbouncer import PrivatePgbouncer, find_pgbouncer
from sandbox.watchdog import Watchdog
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.shared_servers import Addresses
from tests.kit.site import LANES, Site
from tests.kit.urls import port_of, with_user

ORDERS = 120
SESSIONS = 2
EMIT = ("emit", "order.confirmed", "SO-1", "{}")


@pytest.fixture(scope="module")
def pooler(servers: Addresses) -> Iterator[PrivatePgbouncer]:
    program = find_pgbouncer()
    if program is None:
        pytest.skip("needs pgbouncer (Debian: apt-get install pgbouncer)")
    with Watchdog() as watchdog:
        pgbouncer = PrivatePgbouncer(program, server_url=servers.pg_url, watchdog=watchdog)
        pgbouncer.start()
        yield pgbouncer


@pytest.fixture
def pooled(pooler: PrivatePgbouncer, database: Database) -> Database:
    return Database(pooler.url(database.url))


async def test_orders_reach_the_target_through_a_pooler_with_the_relay_past_it(pooled: Database, site: Site) -> None:
    await site.start("relay", pg_url=pooled.url, direct_url=site.database.url)
    survivor = await site.start("consume", pg_url=pooled.url)
    victim = await site.start("consume", pg_url=pooled.url)
    await survivor.logged("lanes", held=LANES // 2)
    await victim.logged("lanes", held=LANES // 2)
    async with asyncio.TaskGroup() as group:
        group.create_task(site.confirm_orders(ORDERS, keys=30, writers=4, rate_per_s=100))
        await site.crm.ledger.reached(ORDERS // 4)
        await victim.kill()
        # The lanes are leased by rows, so a shared session is good enough.
        mark = survivor.mark()
        await survivor.logged("lanes", since=mark, held=LANES)
    await site.settle()
    assert not survivor.find("service waiting")


async def test_a_relay_asks_for_a_url_past_the_pooler(pooled: Database, tmp_path: Path) -> None:
    cli = replace(Cli(tmp_path), pg_url=pooled.url)
    next_step = "next step: set postgres.direct_url (OUTBOX_PG_DIRECT_URL) to the server itself, past the pooler"
    for variables in ({}, {"OUTBOX_PG_DIRECT_URL": pooled.url}):
        message = (await cli("relay", **variables)).refusal(ExitCode.MISCONFIGURED)
        assert message == (
            f"PostgreSQL at 127.0.0.1:{port_of(pooled.url)}{_path(pooled.url)} is a connection pooler, "
            f"and leading a stream takes a session that is not shared {next_step}"
        )


async def test_commands_work_through_a_pooler(pooled: Database, database: Database, tmp_path: Path) -> None:
    cli = replace(Cli(tmp_path), pg_url=pooled.url)
    assert (await cli(*EMIT)).code == ExitCode.OK
    assert (await cli("migrate", "--dry-run", "--json")).json()["replaced"] == []
    assert (await cli("status", "--json")).json()["stream"]["waiting"] == 1
    assert await database.value("select count(*) from outbox.event") == 1


async def test_migrate_installs_the_schema_through_a_pooler(
    pooler: PrivatePgbouncer, empty_database: Database, tmp_path: Path
) -> None:
    ended = await replace(Cli(tmp_path), pg_url=pooler.url(empty_database.url))("migrate", "--json")
    assert ended.json()["applied"]
    assert await empty_database.value("select count(*) from outbox.cursor") == 1


async def test_an_application_emits_through_a_pooler_in_its_own_transaction(pooled: Database) -> None:
    # What asyncpg needs of every client of such a pooler.
    connection = await asyncpg.connect(pooled.url, statement_cache_size=0)
    try:
        async with connection.transaction():
            event_id = await emit(connection, "order.confirmed", "SO-1", {"order_ref": "SO-1"}, ordered=True)
        rows = await connection.fetch("select event_id, payload::text from outbox.event")
    finally:
        await connection.close()
    assert [(row["event_id"], json.loads(row["payload"])) for row in rows] == [(event_id, {"order_ref": "SO-1"})]


async def test_many_connections_share_the_sessions_of_a_pooler_without_a_clash(pooled: Database) -> None:
    pids: set[int] = set()

    async def ask(number: int) -> None:
        async with connect(PostgresServer(pooled.url)) as connection:
            for count in range(30):
                row = await connection.fetchrow(
                    "select pg_backend_pid() as pid, $1::integer + $2 as sum", number, count
                )
                assert row is not None
                assert row["sum"] == number + count
                pids.add(row["pid"])

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(ask(number))
    assert len(pids) <= SESSIONS


async def test_a_wrong_password_is_told_through_a_pooler_too(pooled: Database, tmp_path: Path) -> None:
    url = with_user(pooled.url, "postgres", "wrong-password")
    ended = await replace(Cli(tmp_path), pg_url=url)("status")
    # Releases of pgbouncer differ in the code that they give it.
    assert ended.code in {ExitCode.ACCESS_REFUSED, ExitCode.UNAVAILABLE}
    assert "authentication failed" in ended.err
    assert "wrong-password" not in ended.err


def _path(url: str) -> str:
    return "/" + url.rpartition("/")[2]
