"""Every connection asks whether its other side is still there; looked at on the live sockets, on both event loops."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from adapters.answers import Answer
from adapters.http_client import HttpClient
from outbox.model.adapter import Request
from outbox.model.connection import Connection
from outbox.model.tcp import PATIENT, PROMPT, KeepAlive
from outbox.postgres.connection import connect as connect_postgres
from outbox.rabbitmq.connection import connect as connect_rabbitmq
from tests.kit.broker import Broker
from tests.kit.database import Database
from tests.kit.urls import port_of

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
NewLoop = Callable[[], asyncio.AbstractEventLoop]


def sockets_to(port: int) -> Iterator[socket.socket]:
    """Every connection of this process to a port."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as one:
            if one.family in (socket.AF_INET, socket.AF_INET6) and one.getpeername()[1] == port:
                yield one


def own_ports(port: int) -> set[int]:
    return {one.getsockname()[1] for one in sockets_to(port)}


def assert_kept_alive(port: int, wanted: KeepAlive, *, strangers: set[int]) -> None:
    """Look at the one connection to a port that is not of the test's own making."""
    found = [
        {(level, name): one.getsockopt(level, name) for level, name, _ in wanted.options()}
        for one in sockets_to(port)
        if one.getsockname()[1] not in strangers
    ]
    assert found == [{(level, name): value for level, name, value in wanted.options()}]


@LOOPS
def test_a_connection_to_the_database_is_kept_alive_from_both_ends(database: Database, new_loop: NewLoop) -> None:
    port = port_of(database.url)
    strangers = own_ports(port)

    async def look() -> dict[str, str]:
        async with connect_postgres(database.server) as connection:
            assert_kept_alive(port, PROMPT, strangers=strangers)
            rows = await connection.fetch("select name, setting from pg_settings where name ~ '^tcp_'")
            return {row["name"]: row["setting"] for row in rows}

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(look()) == PROMPT.postgres_settings()


@LOOPS
def test_a_connection_to_the_broker_is_kept_alive(broker: Broker, new_loop: NewLoop) -> None:
    port = port_of(broker.url)
    strangers = own_ports(port)

    async def look() -> None:
        async with connect_rabbitmq(broker.server, name="test"):
            assert_kept_alive(port, PROMPT, strangers=strangers)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(look())


@LOOPS
def test_a_connection_to_a_target_is_kept_alive(new_loop: NewLoop) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        port: int = writer.get_extra_info("sockname")[1]
        assert_kept_alive(port, PATIENT, strangers=set())
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    async def call() -> object:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            client = HttpClient(Connection(base_url=base_url), keeps_connections=False)
            try:
                return await client.exchange(Request("GET", base_url, b""), {})
            finally:
                await client.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        answered = runner.run(call())
    assert isinstance(answered, Answer)
    assert answered.status == 204
