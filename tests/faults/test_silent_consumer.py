"""A consumer that gets nothing although its connection is healthy: it is told loudly, and begins anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import aio_pika
import aiohttp
import pytest

from sandbox.ports import free_ports
from sandbox.private_rabbitmq import PrivateRabbitMQ
from tests.kit.broker import Broker
from tests.kit.cli import FLOW, Cli, one_flow
from tests.kit.database import Database
from tests.kit.own_broker import forget_consumer, own_rabbitmq
from tests.kit.waiting import until

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("silent consumer")]

QUEUE = f"flow.{FLOW}"
SILENT = "messages wait in the queue and none is delivered, the consumer begins anew"


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateRabbitMQ]:
    with own_rabbitmq() as ready:
        yield ready


async def test_a_consumer_that_the_broker_has_forgotten_is_noticed_and_gets_messages_again(
    database: Database, server: PrivateRabbitMQ, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    broker = Broker(server.url, None, "/")
    async with _placed(tmp_path, database, broker).running("consume", OUTBOX_HTTP_PORT=str(port)) as consumer:
        await consumer.logged("service started", service=f"accept {FLOW}")
        await _is_consumed(broker)
        await _publish(broker, 1)
        await consumer.logged("accepted", accepted=1)

        await forget_consumer(server, QUEUE)
        since = consumer.mark()
        await _publish(broker, 2)
        told = await consumer.logged(SILENT, since=since, flow=FLOW)
        assert (told["ready"], told["level"]) == (1, "error")
        await consumer.logged("accepted", since=since, accepted=1)
        assert len(consumer.find(SILENT)) == 1
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            assert f'inbox_silent_consumers_total{{flow="{FLOW}"}} 1.0' in await answer.text()
    assert await broker.depth(QUEUE) == 0


async def test_a_queue_that_somebody_else_holds_without_taking_anything_is_noticed(
    database: Database, broker: Broker, tmp_path: Path
) -> None:
    placed = _placed(tmp_path, database, broker)
    async with placed.running("consume"):
        await _is_consumed(broker)
    async with broker.channel() as channel:
        await channel.set_qos(prefetch_count=1)
        stranger = await channel.get_queue(QUEUE)
        await stranger.consume(_keep)
        await _publish(broker, 1)
        await _publish(broker, 2)
        async with placed.running("consume") as consumer:
            assert (await consumer.logged(SILENT))["ready"] == 1
            waiting = await consumer.logged("service waiting", service=f"accept {FLOW}")
            assert "messages wait in its queue (1) and none is delivered" in waiting["reason"]
            assert not consumer.find("accepted")
            await channel.close()
            await consumer.logged("accepted")


def _placed(folder: Path, database: Database, broker: Broker) -> Cli:
    placed = Cli(folder, database.url, broker.url)
    flow = one_flow()
    assert isinstance(flow["inbox"], dict)
    placed.settings(flow | {"inbox": flow["inbox"] | {"silent_after": "1s"}})
    return placed


async def _is_consumed(broker: Broker) -> None:
    """Wait until somebody consumes the flow's queue, which that one has declared."""

    async def has_consumer() -> bool:
        async with broker.channel() as channel:
            try:
                queue = await channel.declare_queue(QUEUE, passive=True)
            except aio_pika.exceptions.ChannelNotFoundEntity:
                return False
            return bool(queue.declaration_result.consumer_count)

    await until(has_consumer, what="the queue is consumed")


async def _publish(broker: Broker, number: int) -> None:
    async with broker.channel() as channel:
        exchange = await channel.get_exchange("outbox.events")
        headers: dict[str, aio_pika.abc.FieldValue] = {"sequence": number, "key": "SO-1"}
        await exchange.publish(aio_pika.Message(b"{}", message_id=f"m{number}", headers=headers), "order.confirmed")


async def _keep(_message: aio_pika.abc.AbstractIncomingMessage) -> None:
    """Take a message and never acknowledge it."""
