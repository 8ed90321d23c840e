"""Events that nobody had bound: kept, counted, and sent again unchanged and in order once somebody has."""

from __future__ import annotations

import json

import pytest
from aio_pika import Message
from aio_pika.abc import AbstractIncomingMessage

from outbox.model.errors import ExitCode
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.redrive import unrouted
from outbox.rabbitmq.topology import declare
from sandbox.ports import free_ports
from tests.kit.broker import Broker
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.outbox import ONE_CHANNEL
from tests.kit.probe import metrics_of
from tests.kit.verbs import Verbs
from tests.kit.waiting import until

UNROUTED = "outbox.unrouted"
EVERY_KIND = json.dumps({"tenant": "süd", "count": 7, "large": 2**62, "is_test": True, "odd": "\u202eא\n"})


@pytest.fixture
def at(cli: Cli, database: Database, broker: Broker) -> Cli:
    cli.settings(ONE_CHANNEL)
    return Verbs(cli.folder, database.url, broker.url)


async def _emit(database: Database, event_type: str, events: int, *, keys: int = 3) -> None:
    async with database.connection() as erp:
        await erp.execute(
            "insert into outbox.event (type, key, payload, headers)"
            " select $1, 'K-' || n % $3, json_build_object('n', n, 'x', repeat('x', n)), $4::text::json"
            " from generate_series(1, $2::int) n",
            event_type,
            events,
            keys,
            EVERY_KIND,
        )


async def _bind(broker: Broker, queue: str, *routing_keys: str) -> None:
    async with broker.channel() as channel:
        declared = await channel.declare_queue(queue, durable=True, arguments={"x-queue-type": "quorum"})
        for routing_key in routing_keys:
            await declared.bind("outbox.events", routing_key)


async def _take_alternate_exchange_away(broker: Broker) -> None:
    async with broker.channel() as channel:
        await channel.exchange_delete("outbox.events")
        await channel.exchange_delete(UNROUTED)
        await channel.declare_exchange("outbox.events", "topic", durable=True)


def _as_sent(message: AbstractIncomingMessage) -> tuple[object, ...]:
    """Everything of a message but what a broker notes on it."""
    headers = {name: value for name, value in message.headers.items() if name != "x-delivery-count"}
    return (
        message.message_id,
        message.type,
        message.body,
        list(headers.items()),
        [type(value) for value in headers.values()],
        message.timestamp,
        message.content_type,
        message.delivery_mode,
        message.app_id,
        message.routing_key,
        message.exchange,
    )


async def test_what_nobody_had_bound_is_listed_and_sent_again_unchanged_and_in_order(
    at: Cli, database: Database, broker: Broker
) -> None:
    async with connect(broker.server, name="test") as connection:
        await declare(connection, "the broker", ())
    await broker.bind_audit()
    await _bind(broker, "bound", "order.*")
    for event_type, events in (("order.confirmed", 130), ("stock.moved", 40), ("order.sent", 130)):
        await _emit(database, event_type, events)
    # The audit queue shows what the events look like; then nobody is bound, and they are published again.
    assert (await at("relay", "--drain")).code == ExitCode.OK
    shown = {str(message.message_id): _as_sent(message) for message in await broker.take("audit")}
    await broker.take("bound")
    async with broker.channel() as channel:
        await channel.queue_delete("audit")
        await channel.queue_delete("bound")
    await database.value("update outbox.cursor set previous = '1:1:', current = null, position = 0 returning 1")
    assert (await at("relay", "--drain")).code == ExitCode.OK
    assert await broker.depth(UNROUTED) == 300

    listed = (await at("unrouted", "list", "--json")).json()
    await _bind(broker, "bound", "order.*")
    looked = await at("unrouted", "redrive", "--dry-run")
    asked = await at("unrouted", "redrive")
    assert await broker.depth(UNROUTED) == 300
    done = (await at("unrouted", "redrive", "--yes", "--json")).json()

    assert (listed["waiting"], listed["looked_at"], listed["foreign"]) == (300, 300, 0)
    assert {name: (t["messages"], t["keys"]) for name, t in listed["types"].items()} == {
        "order.confirmed": (130, 3),
        "order.sent": (130, 3),
        "stock.moved": (40, 3),
    }
    assert "xxx" not in looked.out
    assert looked.code == ExitCode.OK
    assert (asked.code, "nothing was sent: add --yes" in asked.err) == (ExitCode.USAGE, True)
    arrived = await broker.take("bound")
    assert [message.headers["sequence"] for message in arrived] == [*range(1, 131), *range(171, 301)]
    assert [_as_sent(message) for message in arrived] == [shown[str(message.message_id)] for message in arrived]
    assert done["sent"] == {"order.confirmed": 130, "order.sent": 130}
    assert (done["left"], done["unbound"], done["still_unbound"]) == ({"stock.moved": 40}, ["stock.moved"], 40)


@pytest.mark.parametrize("has_alternate", [True, False], ids=["alternate exchange", "mandatory"])
async def test_what_is_still_unbound_stays_in_its_place_however_often_it_is_tried(
    at: Cli, database: Database, broker: Broker, *, has_alternate: bool
) -> None:
    await _emit(database, "stock.moved", 25)
    assert (await at("relay", "--drain")).code == ExitCode.OK
    if not has_alternate:
        await _take_alternate_exchange_away(broker)
    async with unrouted(broker.server, name="test") as queue:
        for _ in range(3):
            done = await queue.redrive("#", None)
            assert (done.moved.total(), done.unbound, done.still_unbound()) == (0, {"stock.moved"}, 25)
        left = await queue.redrive("order.#", None)
    await _bind(broker, "bound", "stock.#")
    async with unrouted(broker.server, name="test") as queue:
        done = await queue.redrive("stock.*", 1000)

    assert (left.left["stock.moved"], left.unbound) == (26 if has_alternate else 25, set())
    arrived = [message.headers["sequence"] for message in await broker.take("bound")]
    # Where there is an alternate exchange, the first of a type that was tried in vain has a copy at the end.
    assert arrived == [*range(1, 26), *([1] if has_alternate else [])]
    assert (done.still_unbound(), await broker.depth(UNROUTED)) == (0, 0)


async def test_most_bounds_what_is_sent_and_the_dry_run_tells_the_same(
    at: Cli, database: Database, broker: Broker
) -> None:
    for event_type, events in (("stock.moved", 4), ("order.confirmed", 30), ("order.sent", 10)):
        await _emit(database, event_type, events)
    assert (await at("relay", "--drain")).code == ExitCode.OK
    await _bind(broker, "bound", "order.*")

    looked = (await at("unrouted", "redrive", "--type", "order.*", "--most", "7", "--dry-run", "--json")).json()
    done = [(await at("unrouted", "redrive", "--most", "7", "--yes", "--json")).json() for _ in range(3)]
    rest = (await at("unrouted", "redrive", "--type", "order.*", "--most", "1000", "--yes", "--json")).json()

    assert (looked["would_be_tried"], looked["looked_at"], looked["waiting"]) == (7, 11, 44)
    # What is unbound stands in front and is tried each time: it takes nobody's place, and its copies do not pile up.
    assert [(each["sent"], each["unbound"]) for each in done] == [({"order.confirmed": 7}, ["stock.moved"])] * 3
    assert [each["waiting"] for each in done] == [38, 31, 24]
    assert rest["sent"] == {"order.confirmed": 9, "order.sent": 10}
    arrived = [message.headers["sequence"] for message in await broker.take("bound")]
    assert arrived == [*range(5, 45)]


async def test_a_pass_ends_where_most_is_reached_and_leaves_the_rest_in_order(
    at: Cli, database: Database, broker: Broker
) -> None:
    await _emit(database, "order.confirmed", 250)
    assert (await at("relay", "--drain")).code == ExitCode.OK
    await _bind(broker, "bound", "order.*")

    asked = await at("unrouted", "redrive", "--most", "120", "--dry-run")
    first = (await at("unrouted", "redrive", "--most", "120", "--yes", "--json")).json()
    await at("unrouted", "redrive", "--yes")

    assert "would be tried: 120; what is still unbound stays" in asked.out
    assert (first["sent"], first["waiting"]) == ({"order.confirmed": 120}, 130)
    arrived = [message.headers["sequence"] for message in await broker.take("bound")]
    assert arrived == [*range(1, 251)]


async def test_a_pass_that_is_killed_loses_nothing_and_keeps_the_order(
    at: Cli, database: Database, broker: Broker
) -> None:
    await _emit(database, "order.confirmed", 400)
    assert (await at("relay", "--drain")).code == ExitCode.OK
    await _bind(broker, "bound", "order.*")

    process = await at.start("unrouted", "redrive", "--yes", "--rate", "50")
    await until(lambda: _has(broker, "bound", 100), what="a part is moved")
    await process.kill()
    # What the killed one held comes back when the broker has noticed.
    await until(lambda: _redriven(at, broker), what="everything is moved")

    arrived = [message.headers["sequence"] for message in await broker.take("bound")]
    assert await broker.depth(UNROUTED) == 0
    firsts = list(dict.fromkeys(arrived))
    assert firsts == list(range(1, 401))
    assert len(arrived) - len(firsts) <= 100, "no more than a page is sent again"


async def test_messages_that_are_no_events_stay_where_they_are(at: Cli, database: Database, broker: Broker) -> None:
    await _emit(database, "order.confirmed", 2)
    assert (await at("relay", "--drain")).code == ExitCode.OK
    async with broker.channel() as channel:
        for foreign in (Message(b"1"), Message(b"2", message_id="m", priority=3, headers={"sequence": 1})):
            await channel.default_exchange.publish(foreign, UNROUTED)
    await _bind(broker, "bound", "#")

    done = (await at("unrouted", "redrive", "--yes", "--json")).json()

    assert (done["sent"], done["foreign"], done["waiting"]) == ({"order.confirmed": 2}, 2, 2)
    assert [message.body for message in await broker.take(UNROUTED)] == [b"1", b"2"]


async def test_two_passes_at_once_are_refused_before_they_mix_up_the_order(
    at: Cli, database: Database, broker: Broker
) -> None:
    await _emit(database, "order.confirmed", 1)
    assert (await at("relay", "--drain")).code == ExitCode.OK
    await _bind(broker, "bound", "order.*")
    async with unrouted(broker.server, name="test"):
        refusal = (await at("unrouted", "redrive", "--yes")).refusal(ExitCode.MISCONFIGURED)

    assert "outbox.unrouted is being listed or redriven by somebody else" in refusal
    assert (await at("unrouted", "redrive", "--yes", "--json")).json()["sent"] == {"order.confirmed": 1}


async def test_operations_see_how_many_wait_although_the_broker_returns_none(at: Cli, database: Database) -> None:
    await _emit(database, "order.confirmed", 5)
    assert (await at("relay", "--drain")).code == ExitCode.OK
    (port,) = free_ports(1)
    async with at.running("relay", OUTBOX_HTTP_PORT=str(port)) as relay:
        told = await relay.logged("events that nobody has bound are waiting in outbox.unrouted")
        metrics = await metrics_of(port)

    assert told["messages"] == 5
    assert "outbox unrouted list" in told["next_step"]
    assert metrics["outbox_unrouted_messages"] == 5


async def _has(broker: Broker, queue: str, messages: int) -> bool:
    return await broker.depth(queue) >= messages


async def _redriven(at: Cli, broker: Broker) -> bool:
    await at("unrouted", "redrive", "--yes")
    return await _has(broker, "bound", 400) and await broker.depth(UNROUTED) == 0
