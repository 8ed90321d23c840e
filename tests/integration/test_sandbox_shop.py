"""The simulated shop signs as Shopify does, repeats until somebody takes it, and is no kinder than a real API."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sandbox.changes import Changes
from sandbox.ports import free_ports
from sandbox.shop import DEFAULT_SECRET, DEFAULT_TOKEN, ShopServer

ORDER = {"customer": "anna", "cart": {"A-100": 2, "A-200": 1}}
FULFILLMENT = {
    "fulfillment": {
        "tracking_number": "T-1",
        "tracking_company": "DHL",
        "line_items": [{"sku": "A-100", "quantity": 2}],
    }
}
TOKEN = {"Authorization": f"Bearer {DEFAULT_TOKEN}"}


@dataclass
class Subscriber:
    """Whoever has subscribed to the shop's webhooks; answers as it is told, 202 in the end."""

    answers: list[int] = field(default_factory=list)
    came: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)

    async def take(self, request: web.Request) -> web.Response:
        self.came.append((await request.read(), {name.lower(): value for name, value in request.headers.items()}))
        self.changes.notify()
        return web.Response(status=self.answers.pop(0) if self.answers else 202)

    async def has(self, count: int) -> None:
        await self.changes.until(lambda: len(self.came) >= count, within_seconds=20)


@pytest.fixture
def subscriber() -> Subscriber:
    return Subscriber()


@asynccontextmanager
async def listening(subscriber: Subscriber, port: int) -> AsyncIterator[None]:
    app = web.Application()
    app.add_routes([web.post("/intake/shop", subscriber.take)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
async def shop(tmp_path: Path, port: int) -> AsyncIterator[ShopServer]:
    async with ShopServer(
        ledger_path=tmp_path / "ledger.jsonl", webhook_url=f"http://127.0.0.1:{port}/intake/shop"
    ) as server:
        yield server


@pytest.fixture
async def client(shop: ShopServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(shop.url, timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session


async def told(answer: aiohttp.ClientResponse) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (await answer.text()).splitlines()]


async def test_an_order_is_told_in_a_webhook_that_is_signed_over_its_bytes(
    client: aiohttp.ClientSession, subscriber: Subscriber, port: int
) -> None:
    async with listening(subscriber, port):
        async with client.post("/checkout", json=ORDER) as answer:
            assert answer.status == 201
            (placed,) = await told(answer)
        await subscriber.has(1)

    ((body, headers),) = subscriber.came
    signature = base64.b64encode(hmac.new(DEFAULT_SECRET.encode(), body, hashlib.sha256).digest()).decode()
    assert headers["x-shopify-hmac-sha256"] == signature
    assert (headers["x-shopify-topic"], headers["x-shopify-webhook-id"]) == ("orders/create", "wh-000001")
    order = json.loads(body)
    assert (order["id"], order["name"], order["total_price"]) == (placed["id"], placed["order"], "64.70")
    assert [(line["sku"], line["quantity"], line["price"]) for line in order["line_items"]] == [
        ("A-100", 2, "24.90"),
        ("A-200", 1, "14.90"),
    ]


async def test_a_webhook_comes_again_with_the_same_id_until_it_is_taken(
    client: aiohttp.ClientSession, subscriber: Subscriber, port: int
) -> None:
    subscriber.answers += [503, 500]
    async with listening(subscriber, port):
        async with client.post("/checkout", json=ORDER):
            pass
        await subscriber.has(3)
        async with client.post("/orders/5000000001001/webhook") as answer:
            (again,) = await told(answer)
        async with client.get("/orders") as answer:
            (order,) = await told(answer)

    assert (again["status"], order["webhook"]) == (202, "taken")
    assert len({(body, headers["x-shopify-webhook-id"]) for body, headers in subscriber.came}) == 1
    assert len(subscriber.came) == 4


async def test_a_webhook_that_is_refused_is_given_up_and_said_so(
    client: aiohttp.ClientSession, subscriber: Subscriber, port: int
) -> None:
    subscriber.answers.append(401)
    async with listening(subscriber, port):
        async with client.post("/checkout", json=ORDER):
            pass
        await subscriber.has(1)
        async with asyncio.timeout(20):
            while True:
                async with client.get("/orders") as answer:
                    (order,) = await told(answer)
                if order["webhook"] == "given up, answered 401":
                    break


async def test_a_shop_ends_at_once_although_a_webhook_waits_for_its_next_try(tmp_path: Path, port: int) -> None:
    url = f"http://127.0.0.1:{port}/intake/shop"
    async with (
        asyncio.timeout(20),
        ShopServer(ledger_path=tmp_path / "ledger.jsonl", webhook_url=url) as shop,
        aiohttp.ClientSession(shop.url) as client,
        client.post("/checkout", json=ORDER) as answer,
    ):
        assert answer.status == 201


async def test_a_fulfillment_happens_once_for_its_key(client: aiohttp.ClientSession, shop: ShopServer) -> None:
    async with client.post("/checkout", json=ORDER):
        pass
    path, keyed = "/admin/orders/5000000001001/fulfillments", {**TOKEN, "Idempotency-Key": "k-1"}
    bodies = []
    for headers, body, status in (
        (keyed, FULFILLMENT, 201),
        (keyed, FULFILLMENT, 201),
        (keyed, {"fulfillment": {**FULFILLMENT["fulfillment"], "tracking_number": "T-2"}}, 422),
        ({**TOKEN, "Idempotency-Key": "k-2"}, FULFILLMENT, 422),
        (TOKEN, FULFILLMENT, 400),
        ({"Idempotency-Key": "k-3"}, FULFILLMENT, 401),
        (keyed | {"Idempotency-Key": "k-4"}, {"fulfillment": {}}, 422),
    ):
        async with client.post(path, json=body, headers=headers) as answer:
            assert answer.status == status
            bodies.append(await answer.json())
    assert bodies[0] == bodies[1]
    assert len(shop.ledger.fulfillments) == 1
    async with client.post(
        "/admin/orders/77/fulfillments", json=FULFILLMENT, headers=keyed | {"Idempotency-Key": "k-5"}
    ) as answer:
        assert answer.status == 404


async def test_the_shop_says_who_it_is_to_whoever_has_its_token(client: aiohttp.ClientSession) -> None:
    for headers, status in ((TOKEN, 200), ({}, 401)):
        async with client.get("/admin/shop", headers=headers) as answer:
            assert answer.status == status


async def test_a_level_is_set_however_often_and_of_known_articles_only(
    client: aiohttp.ClientSession, shop: ShopServer
) -> None:
    for name, status in (("45000000000100", 200), ("45000000000100", 200), ("1", 404)):
        path, body = f"/admin/inventory_levels/{name}", {"inventory_level": {"available": 48}}
        async with client.put(path, json=body, headers=TOKEN) as answer:
            assert answer.status == status
    assert shop.ledger.levels == {"45000000000100": 48}


async def test_what_the_shop_remembers_survives_its_end(tmp_path: Path, port: int) -> None:
    ledger, url = tmp_path / "ledger.jsonl", f"http://127.0.0.1:{port}/intake/shop"
    async with ShopServer(ledger_path=ledger, webhook_url=url) as shop, aiohttp.ClientSession(shop.url) as client:
        async with client.post("/checkout", json=ORDER):
            pass
        headers = {**TOKEN, "Idempotency-Key": "k-1"}
        async with client.post("/admin/orders/5000000001001/fulfillments", json=FULFILLMENT, headers=headers) as first:
            before = await first.json()
    with ledger.open("ab") as file:
        file.write(b'{"kind": "order", "ord')

    async with ShopServer(ledger_path=ledger, webhook_url=url) as shop, aiohttp.ClientSession(shop.url) as client:
        async with client.post("/admin/orders/5000000001001/fulfillments", json=FULFILLMENT, headers=headers) as again:
            assert await again.json() == before
        assert (len(shop.ledger.orders), len(shop.ledger.fulfillments)) == (1, 1)


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"customer": "nobody", "cart": {"A-100": 1}}', b'{"customer": "bo", "cart": {"X": 1}}']
)
async def test_what_cannot_be_bought_is_told_and_not_sold(
    client: aiohttp.ClientSession, shop: ShopServer, body: bytes
) -> None:
    async with client.post("/checkout", data=body) as answer:
        assert answer.status == 422
    assert shop.ledger.orders == {}
