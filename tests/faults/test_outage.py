"""A server that is away for a while takes no process down and none out of service; its absence shows in the metrics."""

from __future__ import annotations

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sandbox.ports import free_ports
from tests.kit.site import Site, proxied
from tests.kit.waiting import until

AGE = "outbox_oldest_unpublished_age_seconds"
HEALTH = ("/livez", "/readyz")


async def assert_healthy(port: int) -> None:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        for path in HEALTH:
            async with client.get(path) as answer:
                assert answer.status == 200, f"{path}: {await answer.text()}"


async def oldest_unpublished_seconds(port: int) -> float:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client, client.get("/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    (age,) = [sample.value for family in families for sample in family.samples if sample.name == AGE]
    return age


@pytest.mark.parametrize("server", ["broker", "database"])
async def test_while_a_server_refuses_every_process_stays_alive_and_ready(site: Site, server: str) -> None:
    url = site.broker.url if server == "broker" else site.database.url
    async with proxied(url) as (proxy, proxied_url):
        where = {"amqp_url": proxied_url} if server == "broker" else {"pg_url": proxied_url}
        ports = free_ports(2)
        relay = await site.start("relay", http_port=ports[0], **where)
        consumer = await site.start("consume", http_port=ports[1], **where)
        await site.confirm_orders()
        await site.settle()

        proxy.refuse()
        proxy.cut()
        await site.confirm_orders()

        async def has_grown() -> bool:
            for port in ports:
                await assert_healthy(port)
            return await oldest_unpublished_seconds(ports[0]) > 2

        await until(has_grown, what=f"{AGE} has grown")
        assert relay.find("service waiting", service="relay")
        assert relay.is_running
        assert consumer.is_running

        await proxy.accept()
        await site.settle()
        assert relay.is_running
        assert consumer.is_running
