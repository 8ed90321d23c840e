"""A server that is there and is the wrong one: too old, a standby, without the schema, or no PostgreSQL at all."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from outbox.model.errors import ExitCode
from tests.kit.broker import Broker
from tests.kit.cli import Cli, one_flow
from tests.kit.database import Database
from tests.kit.standby import Cluster, replicated_cluster
from tests.kit.urls import port_of, with_port

EMIT = ("emit", "order.confirmed", "SO-1", "{}")
DRAIN = ("relay", "--drain")
POINT_AT_PRIMARY = "next step: point postgres.url at the primary"
RUN_MIGRATE = 'next step: run "outbox migrate" with a user who may create schemas'


@asynccontextmanager
async def postgres_13() -> AsyncIterator[int]:
    """Speak PostgreSQL's protocol just far enough to say "13.14": so old a server cannot be installed any more."""
    ssl_request = 80877103

    def message(kind: bytes, content: bytes) -> bytes:
        return kind + struct.pack("!i", len(content) + 4) + content

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            (size,) = struct.unpack("!i", await reader.readexactly(4))
            startup = await reader.readexactly(size - 4)
            if struct.unpack("!i", startup[:4])[0] != ssl_request:
                break
            writer.write(b"N")
        writer.write(
            message(b"R", struct.pack("!i", 0))
            + message(b"S", b"server_version\x0013.14\x00")
            + message(b"S", b"client_encoding\x00UTF8\x00")
            + message(b"K", struct.pack("!ii", 1, 2))
            + message(b"Z", b"I")
        )
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("verb", [("migrate",), ("relay",)], ids=lambda verb: verb[0])
async def test_a_postgresql_that_is_too_old_is_refused_with_both_versions(cli: Cli, verb: tuple[str, ...]) -> None:
    async with postgres_13() as port:
        ended = await replace(cli, pg_url=f"postgresql://relay:pw@127.0.0.1:{port}/erp")(*verb)

    assert ended.refusal(ExitCode.MISCONFIGURED) == (
        f"PostgreSQL at 127.0.0.1:{port}/erp is version 13, the oldest that works is 14 next step: upgrade PostgreSQL"
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with replicated_cluster() as cluster:
        yield cluster


@pytest.mark.xdist_group("standby")
@pytest.mark.parametrize("verb", [("migrate",), ("status",), EMIT, ("consume",), DRAIN], ids=lambda verb: verb[0])
async def test_a_hot_standby_is_refused(cli: Cli, cluster: Cluster, broker: Broker, verb: tuple[str, ...]) -> None:
    cli.settings(one_flow())
    ended = await replace(cli, pg_url=cluster.standby_url, amqp_url=broker.url)(*verb)

    assert ended.refusal(ExitCode.MISCONFIGURED) == (
        f"PostgreSQL at 127.0.0.1:{port_of(cluster.standby_url)}/postgres is a standby {POINT_AT_PRIMARY}"
    )


@pytest.mark.parametrize(
    ("verb", "missing"),
    [
        (("status",), 'relation "outbox.cursor"'),
        (EMIT, 'schema "outbox"'),
        (DRAIN, 'schema "outbox"'),
        (("consume",), 'schema "inbox"'),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
async def test_a_database_that_nobody_has_migrated_is_refused(
    cli: Cli, empty_database: Database, verb: tuple[str, ...], missing: str
) -> None:
    cli.settings(one_flow())

    message = (await replace(cli, pg_url=empty_database.url)(*verb)).refusal(ExitCode.MISCONFIGURED)

    assert message.endswith(
        f": the outbox schema is missing or older than this program ({missing} does not exist) {RUN_MIGRATE}"
    )


async def test_a_schema_that_is_older_than_the_program_is_refused(cli: Cli, database: Database) -> None:
    await database.value("drop function outbox.take_lead")

    message = (await replace(cli, pg_url=database.url)(*DRAIN)).refusal(ExitCode.MISCONFIGURED)

    assert "the outbox schema is missing or older than this program (function outbox.take_lead" in message


async def test_a_server_that_is_no_postgresql_is_told(cli: Cli, database: Database, broker: Broker) -> None:
    url = with_port(database.url, port_of(broker.url))

    message = (await replace(cli, pg_url=url)("status")).refusal(ExitCode.UNAVAILABLE)

    assert f"PostgreSQL at 127.0.0.1:{port_of(url)}/" in message


async def test_a_server_that_is_no_broker_is_waited_for(cli: Cli, database: Database) -> None:
    port = port_of(database.url)

    async with replace(cli, pg_url=database.url, amqp_url=f"amqp://127.0.0.1:{port}/").running("relay") as relay:
        line = await relay.logged("service waiting")

    assert line["reason"].startswith(f"RabbitMQ at 127.0.0.1:{port}/ is unavailable")
