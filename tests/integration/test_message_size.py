"""A broker that takes less than we are configured for, as after an upgrade from RabbitMQ 3 (128 MiB) to 4 (16 MiB)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from outbox.inbox.dead import DeadLetterPublisher
from outbox.inbox.lanes import Ownership
from outbox.model.errors import ExitCode, Unavailable
from outbox.postgres.inbox_store import InboxStore
from outbox.rabbitmq.dead_queue import DeadQueue
from outbox.rabbitmq.publisher import RabbitBroker
from outbox.rabbitmq.topology import FlowRoute
from outbox.supervisor import Pulse, Stop
from sandbox.private_rabbitmq import PrivateRabbitMQ
from tests.kit.broker import Broker
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.inbox import FLOW, LANES, arrival
from tests.kit.own_broker import own_rabbitmq, set_max_message_size
from tests.kit.waiting import until

pytestmark = pytest.mark.xdist_group("message size")

LIMIT_BYTES = 65_536


@pytest.fixture(scope="module")
def node() -> Iterator[PrivateRabbitMQ]:
    with own_rabbitmq(settings=f"max_message_size = {LIMIT_BYTES}\n") as node:
        yield node


@pytest.fixture
def narrow(node: PrivateRabbitMQ) -> Broker:
    return Broker(node.url, node.management_url, "%2F")


def payload(size_bytes: int) -> str:
    return json.dumps("x" * (size_bytes - 2))


async def test_an_event_that_the_broker_finds_too_large_is_a_dead_letter_and_the_rest_goes_on(
    cli: Cli, database: Database, narrow: Broker
) -> None:
    cli = replace(cli, pg_url=database.url, amqp_url=narrow.url)
    # With it, the message would be a reference.
    cli.settings({"relay": {"claim_check": {"enabled": False}}})
    sizes = [10, LIMIT_BYTES, LIMIT_BYTES + 1, 10, 20 * LIMIT_BYTES, 10]
    async with database.connection() as erp:
        await erp.executemany(
            "insert into outbox.event (type, key, payload) values ('a', 'k', $1::text::json)",
            [(payload(size),) for size in sizes],
        )

    ended = await cli("relay", "--drain")

    assert ended.code == ExitCode.OK, ended.err
    # A page may come twice, and whatever came first came in order.
    arrived = [len(message.body) for message in await narrow.take("outbox.unrouted")]
    assert [size for n, size in enumerate(arrived) if size not in arrived[:n]] == [10, LIMIT_BYTES]
    assert arrived[-1] == 10
    recorded = await database.rows("select sequence, reason from outbox.rejected order by sequence")
    assert [row["sequence"] for row in recorded] == [3, 5]
    assert recorded[0]["reason"].startswith(f"payload has {LIMIT_BYTES + 1} bytes, this broker takes {LIMIT_BYTES}")
    letters = await narrow.take("outbox.rejected")
    assert [letter.headers["sequence"] for letter in letters] == [3, 5]
    assert ended.err.count(f"messages of {LIMIT_BYTES} bytes at most") == 1, "the limit is learned once"


async def test_a_limit_that_was_raised_is_noticed_with_the_next_connection_and_without_a_restart(
    cli: Cli, database: Database, node: PrivateRabbitMQ, narrow: Broker
) -> None:
    cli = replace(cli, pg_url=database.url, amqp_url=narrow.url)
    cli.settings({"relay": {"claim_check": {"enabled": False}}})
    emit = "insert into outbox.event (type, key, payload) values ('b', 'k', $1::text::json) returning id"
    async with cli.running("relay") as relay:
        refused = await database.value(emit, payload(LIMIT_BYTES + 1))
        await relay.logged("event rejected", sequence=refused)
        try:
            await set_max_message_size(node, 2 * LIMIT_BYTES)
            await asyncio.to_thread(node.ctl, "close_all_connections", "the limit was raised")
            taken = await database.value(emit, payload(LIMIT_BYTES + 1))

            async def is_there() -> bool:
                return await narrow.depth("outbox.unrouted") > 0

            await until(is_there, what="the event is in a queue")
        finally:
            await set_max_message_size(node, LIMIT_BYTES)

    (message,) = await narrow.take("outbox.unrouted")
    assert (message.headers["sequence"], len(message.body)) == (taken, LIMIT_BYTES + 1)
    rejected = await database.rows("select sequence from outbox.rejected")
    assert [row["sequence"] for row in rejected] == [refused], "it stays listed"
    await narrow.take("outbox.rejected")


async def test_the_copy_of_a_dead_letter_that_the_broker_finds_too_large_is_published_without_its_body(
    database: Database, narrow: Broker
) -> None:
    ownership = Ownership("me")
    ownership.renew()
    store = InboxStore(database.server)
    async with store.session(FLOW) as session:
        await session.register(LANES)
        await session.hold_lanes(ownership.owner, 60)
        large = replace(arrival(1, refusal="no"), body=payload(LIMIT_BYTES + 1).encode())
        await session.accept([large, arrival(2, refusal="no")])
    broker = RabbitBroker(
        narrow.server, [FlowRoute(FLOW, ["order.#"])], source="/erp", name="test", report=lambda _: None
    )
    stop = Stop()
    publisher = DeadLetterPublisher(
        FLOW, store, broker, DeadQueue(narrow.server, FLOW), ownership, lambda _: stop.set()
    )

    with pytest.raises(Unavailable, match=f"{LIMIT_BYTES} bytes at most"):
        await publisher.run(stop, Pulse())
    await publisher.run(stop, Pulse())

    async def copies() -> bool:
        return await narrow.depth("dead.orders") >= 2

    await until(copies, what="both copies are there")
    letters = {letter.message_id: letter for letter in await narrow.take("dead.orders")}
    assert letters["m1"].body == b""
    assert letters["m1"].headers["x-outbox-body-left-out-bytes"] == LIMIT_BYTES + 1
    assert letters["m1"].headers["x-outbox-reason"] == "no"
    assert letters["m2"].body == b"{}"
    assert "x-outbox-body-left-out-bytes" not in letters["m2"].headers
