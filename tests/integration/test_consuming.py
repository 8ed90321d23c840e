"""The Python of docs/consuming.md, run as a service of its own beside a real relay, and killed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from tests.kit.broker import Broker
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.downstream import QUEUE, TEXT, Service, acknowledged, blocks, downstream, python_consumer
from tests.kit.process import Process
from tests.kit.raw_amqp import bare_properties, number_entry, publish_raw
from tests.kit.shared_servers import Addresses
from tests.kit.site import proxied
from tests.kit.waiting import until

# So that a relay that is killed has saved nothing, and the next one publishes everything again.
RELAY = {"relay": {"save_every": "25s"}}
KEYS = 4
# Without a message id, with and without a header of ours, or any.
FOREIGN = [bare_properties(headers) for headers in (None, b"", number_entry(b"sequence", 1))]
_EMIT = """
select outbox.emit('order.confirmed', $1, json_build_object('order_ref', $1::text, 'amount', $2::text))
"""


@pytest.fixture
def relay(cli: Cli, database: Database, broker: Broker) -> Cli:
    placed = replace(cli, pg_url=database.url, amqp_url=broker.url)
    placed.settings(RELAY)
    return placed


@pytest.fixture
async def service(servers: Addresses, broker: Broker, tmp_path: Path) -> AsyncIterator[Service]:
    async with downstream(servers.pg_url, broker, python_consumer(tmp_path)) as ready:
        yield ready


async def test_a_consumer_and_a_relay_that_are_killed_leave_each_effect_exactly_once_and_in_order(
    relay: Cli, service: Service, database: Database
) -> None:
    first_relay = await _start(relay)
    try:
        async with service.consuming() as consumer:
            events = await _emit(database, 8)
            await acknowledged(consumer, set(events))

        # Killed with the effect committed and not acknowledged.
        events += await _emit(database, 8)
        async with service.consuming(hang_at=events[-3]) as consumer:
            await consumer.logged("acknowledging", message_id=events[-3])
        assert events[-3] in dict(await service.invoices())

        # Killed inside the transaction, behind once() and before the effect.
        async with service.database.connection() as holder, holder.transaction():
            await holder.execute("lock table invoice in exclusive mode")
            events += await _emit(database, 1)
            async with service.consuming() as consumer:
                await _waits_for_the_table(service)
                await consumer.kill()
        assert events[-1] not in dict(await service.invoices())

        await first_relay.kill()
        async with service.consuming() as consumer, relay.running("relay"):
            # All of them again, from the relay; and what the killed consumers had not acknowledged, from the queue.
            await acknowledged(consumer, set(events))
            await _holds(service, QUEUE, 0)
    finally:
        await first_relay.kill()

    invoices = await service.invoices()
    assert sorted(event for event, _ in invoices) == sorted(events)
    for key in range(KEYS):
        of_key = [event for event, order in invoices if order == f"SO-{key}"]
        assert of_key == [event for number, event in enumerate(events) if number % KEYS == key]
    amounts = await service.database.value("select array_agg(distinct amount::text) from invoice")
    assert amounts == ["10.10"]


async def test_a_message_that_cannot_be_applied_is_in_the_dead_letters_and_holds_nobody_up(
    relay: Cli, service: Service, database: Database
) -> None:
    async with relay.running("relay") as running:
        await running.logged("caught up")
        async with service.consuming() as consumer:
            (bad,) = await _emit(database, 1, amount="ten")
            await publish_raw(service.broker.url, QUEUE, FOREIGN)
            (good,) = await _emit(database, 1)
            await acknowledged(consumer, {good})
            await consumer.logged("rejecting", message_id=bad)
            await consumer.logged("rejecting", message_id=None)
            await _holds(service, QUEUE, 0)
    assert [event for event, _ in await service.invoices()] == [good]
    await _holds(service, f"{QUEUE}.dead", 4)
    assert {dead.message_id for dead in await service.broker.take(f"{QUEUE}.dead")} == {bad, None}


@pytest.mark.parametrize("how", ["the queue is deleted", "the connection is cut"])
async def test_a_consumer_that_the_broker_ends_ends_its_process(relay: Cli, service: Service, how: str) -> None:
    async with relay.running("relay") as running, proxied(service.broker.url) as (wire, amqp_url):
        await running.logged("caught up")
        async with service.consuming(amqp_url=amqp_url) as consumer:
            if how == "the connection is cut":
                wire.cut()
            else:
                async with service.broker.channel() as channel:
                    await channel.queue_delete(QUEUE)
            assert await consumer.ended() == 1, consumer.tail()


async def test_the_payload_of_a_claim_check_is_fetched_by_the_recipe(database: Database) -> None:
    space: dict[str, Any] = {}
    (code,) = (code for code in blocks("python") if "async def payload" in code)
    exec(code, space)  # noqa: S102 - the documentation's own code
    text = '{"ö":  1.50}'
    async with database.connection() as outbox:
        event_id = await outbox.fetchval("select outbox.emit('a', 'k', $1::text::json)", text)
        sequence = await outbox.fetchval("select id from outbox.event")
        whole = _message({}, b"here")
        claimed = _message({"x-outbox-claim-check": f"{sequence}/{event_id}"}, b"")
        gone = _message({"x-outbox-claim-check": f"{sequence}/{uuid.uuid4()}"}, b"")
        assert await space["payload"](whole, outbox) == b"here"
        assert await space["payload"](claimed, outbox) == text.encode()
        with pytest.raises(LookupError, match="is gone"):
            await space["payload"](gone, outbox)


async def test_the_recipe_in_sql_takes_a_message_once(service: Service) -> None:
    take, prune = blocks("sql")
    async with service.database.connection() as connection:
        await connection.execute(take)
        assert await connection.fetchval("select once.take('billing', event_id) from invoice") == "duplicate"
        assert await connection.fetchval(prune) == 0


def test_every_property_and_header_of_the_contract_is_documented() -> None:
    sent = {"cloudEvents_specversion", "cloudEvents_id", "cloudEvents_source", "cloudEvents_type", "key", "sequence"}
    sent |= {"cloudEvents_partitionkey", "cloudEvents_dataref", "version", "message_id", "app_id", "delivery_mode"}
    assert [name for name in sorted(sent) if f"`{name}`" not in TEXT] == []


async def _start(relay: Cli) -> Process:
    running = await relay.start("relay")
    await running.logged("caught up")
    return running


async def _emit(database: Database, count: int, *, amount: str = "10.10") -> list[str]:
    """Commit events of a few keys in turn and return their ids."""
    async with database.connection() as erp:
        return [str(await erp.fetchval(_EMIT, f"SO-{number % KEYS}", amount)) for number in range(count)]


async def _waits_for_the_table(service: Service) -> None:
    async def is_waiting() -> object:
        return await service.database.value("select count(*) from pg_locks where not granted")

    await until(is_waiting, what="the consumer waits for the table")


async def _holds(service: Service, queue: str, count: int) -> None:
    async def has_so_many() -> bool:
        return await service.broker.depth(queue) == count

    await until(has_so_many, what=f"{queue} holds {count} messages")


def _message(headers: Mapping[str, int | str], body: bytes) -> aio_pika.Message:
    return aio_pika.Message(body, headers=dict(headers))
