"""Several hosts in one URL: the first that lets us in is taken, and the others cost no more than their time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from outbox.model.errors import AccessRefused, Unavailable
from outbox.rabbitmq import connection as connection_module
from outbox.rabbitmq.connection import RabbitServer, connect
from tests.kit.broker import Broker
from tests.kit.cli import REFUSED_PORT

CLOSED = f"127.0.0.1:{REFUSED_PORT}"
# Enough for a broker under load, and short enough to be felt once.
PATIENCE_SECONDS = 5.0


def at(broker: Broker, *hosts: str, credentials: str = "guest:guest") -> RabbitServer:
    return RabbitServer(
        f"amqp://{credentials}@{','.join(hosts)}/{broker.vhost}", connect_timeout_seconds=PATIENCE_SECONDS
    )


def host_of(broker: Broker) -> str:
    return urlsplit(broker.url).netloc.rpartition("@")[2]


@pytest.fixture
def _from_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance must not spare a test the host that it is about."""
    monkeypatch.setattr(connection_module.secrets, "randbelow", lambda _count: 0)


@asynccontextmanager
async def silent_host() -> AsyncIterator[str]:
    """A host that takes connections and never says a word."""
    waiting = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await waiting.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        waiting.set()
        server.close()


@pytest.mark.usefixtures("_from_the_first")
async def test_a_host_that_is_down_does_not_keep_us_from_the_next(broker: Broker) -> None:
    async with connect(at(broker, CLOSED, host_of(broker)), name="test") as connection:
        assert (await connection.channel()) is not None


@pytest.mark.usefixtures("_from_the_first")
async def test_a_host_that_never_answers_costs_only_its_own_time(broker: Broker) -> None:
    async with silent_host() as silent:
        started_at = time.monotonic()
        async with connect(at(broker, silent, host_of(broker)), name="test"):
            took_seconds = time.monotonic() - started_at

    assert PATIENCE_SECONDS <= took_seconds < 3 * PATIENCE_SECONDS


async def test_when_no_host_can_be_reached_the_reason_of_each_is_told(broker: Broker) -> None:
    nowhere = "no-such-host.invalid"
    with pytest.raises(Unavailable) as caught:
        async with connect(at(broker, CLOSED, nowhere), name="test"):
            pass

    message = str(caught.value)
    assert message.startswith(f"RabbitMQ at {CLOSED},{nowhere}:5672/{broker.vhost} is unavailable: ")
    assert f"RabbitMQ at {CLOSED}/{broker.vhost} is unavailable: " in message
    assert f"RabbitMQ at {nowhere}:5672/{broker.vhost} is unavailable: the host name cannot be resolved" in message


async def test_a_password_that_every_host_refuses_is_for_a_person_and_one_that_only_some_refuse_is_waited_for(
    broker: Broker,
) -> None:
    host = host_of(broker)
    with pytest.raises(AccessRefused) as caught:
        async with connect(at(broker, host, host, credentials="guest:s3cret"), name="test"):
            pass
    with pytest.raises(Unavailable, match="refused user or password"):
        async with connect(at(broker, host, CLOSED, credentials="guest:s3cret"), name="test"):
            pass

    assert caught.value.problem.count("refused user or password") == 2
    assert "s3cret" not in str(caught.value)


async def test_connections_begin_at_every_host_of_the_list(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[int] = []
    draw = connection_module.secrets.randbelow
    monkeypatch.setattr(connection_module.secrets, "randbelow", lambda count: starts.append(draw(count)) or starts[-1])
    server = replace(at(broker, CLOSED, CLOSED), connect_timeout_seconds=1)
    for _ in range(40):
        with pytest.raises(Unavailable):
            async with connect(server, name="test"):
                pass
    assert set(starts) == {0, 1}
