"""Connections that break at any moment and any byte: the processes live on, and the judge finds nothing."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, suppress

import pytest
from aio_pika.exceptions import AMQPError

from outbox.model.errors import Unavailable
from outbox.rabbitmq.connection import RabbitServer, connect
from outbox.rabbitmq.topology import declare
from sandbox.crm_faults import Faults
from sandbox.tcp_proxy import Direction, TcpProxy
from tests.kit.broker import Broker
from tests.kit.seeds import repeatable, seeds
from tests.kit.site import Site, proxied
from tests.kit.waiting import rest

ORDERS = 200
# Per connection; each cut doubles the pause before the next connect.
CUTS = 2
_MAX_BYTES = 4_000
_QUIET_SECONDS = 2.0


@pytest.mark.parametrize("seed", seeds(1, 2))
async def test_cuts_at_random_moments_lose_nothing_and_repeat_nothing(site: Site, seed: int) -> None:
    site.crm.set_faults(Faults(latency_ms=5))
    async with AsyncExitStack() as stack:
        servers = (site.database.url, site.broker.url) * 2
        proxies = [await stack.enter_async_context(proxied(url)) for url in servers]
        (_, relay_pg), (_, relay_amqp), (_, consumer_pg), (_, consumer_amqp) = proxies
        relay = await site.start("relay", pg_url=relay_pg, amqp_url=relay_amqp, relay={"page_events": 20})
        consumer = await site.start("consume", pg_url=consumer_pg, amqp_url=consumer_amqp)
        await relay.logged("caught up")
        await consumer.logged("lanes")
        with repeatable(seed):
            async with asyncio.TaskGroup() as group:
                group.create_task(site.confirm_orders(ORDERS, keys=40, writers=4, seed=seed, rate_per_s=60))
                for number, (proxy, _) in enumerate(proxies):
                    group.create_task(_cut_again_and_again(random.Random(f"{seed} {number}"), proxy))
            await site.settle(within_seconds=60)
            assert relay.is_running
            assert consumer.is_running
            assert relay.find("service waiting")
            assert consumer.find("service waiting")


async def test_a_connection_that_broke_while_nobody_used_it_is_an_absent_broker(broker: Broker) -> None:
    async with proxied(broker.url) as (amqp, amqp_url), connect(RabbitServer(amqp_url), name="test") as connection:
        transport = connection.transport
        assert transport is not None
        amqp.cut()
        with suppress(AMQPError):
            await transport.connection.closing
        with pytest.raises(Unavailable, match="the connection broke"):
            await declare(connection, "the broker", ())


async def _cut_again_and_again(dice: random.Random, proxy: TcpProxy) -> None:
    for _ in range(CUTS):
        await rest(dice.uniform(0.1, 1.5))
        spent = proxy.cut_after(dice.randrange(_MAX_BYTES), dice.choice(list(Direction)))
        try:
            async with asyncio.timeout(_QUIET_SECONDS):
                await spent.wait()
        except TimeoutError:
            proxy.cut()
