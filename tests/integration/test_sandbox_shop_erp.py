"""The small ERP of the worked example: each change of it is one transaction with its events, and happens once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from sandbox.shop_erp import DEFAULT_TOKEN, ErpServer
from tests.kit.database import Database

ORDER = {
    "web_order": "5001",
    "reference": "#W1",
    "customer": "C-1001",
    "ordered_at": "2026-11-22T09:00:00Z",
    "currency": "EUR",
    "total": "64.70",
    "payment_terms": "paid",
    "lines": [
        {"line": 1, "article": "A-200", "quantity": 1, "unit_price": "14.90"},
        {"line": 2, "article": "A-100", "quantity": 2, "unit_price": "24.90"},
    ],
}
PATH = "/api/web-orders/5001"


@pytest.fixture
async def client(database: Database) -> AsyncIterator[aiohttp.ClientSession]:
    async with ErpServer(pg_url=database.url) as erp, client_of(erp) as session:
        yield session


def client_of(erp: ErpServer) -> aiohttp.ClientSession:
    headers = {"Authorization": f"Bearer {DEFAULT_TOKEN}"}
    return aiohttp.ClientSession(erp.url, headers=headers, timeout=aiohttp.ClientTimeout(total=20))


async def events(database: Database) -> list[tuple[str, str, dict[str, Any]]]:
    rows = await database.rows("select type, key, payload::text from outbox.event order by id")
    return [(row["type"], row["key"], json.loads(row["payload"])) for row in rows]


async def test_an_order_that_comes_twice_or_at_once_is_one_order(
    client: aiohttp.ClientSession, database: Database
) -> None:
    async def put() -> tuple[int, str]:
        async with client.put(PATH, json=ORDER) as answer:
            return answer.status, (await answer.json())["order"]["number"]

    async with asyncio.TaskGroup() as group:
        puts = [group.create_task(put()) for _ in range(4)]

    assert sorted(one.result() for one in puts) == [(200, "SO-1001")] * 3 + [(201, "SO-1001")]
    assert await database.value("select count(*) from erp.order_line") == 2
    async with client.get(
        "/api/web-orders", params={"from": "2026-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
    ) as answer:
        assert (await answer.json())["orders"] == [
            {"number": "SO-1001", "web_order": "5001", "total": "64.70", "currency": "EUR"}
        ]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"total": "64.71"}, 422),
        ({"customer": "C-9"}, 422),
        ({"lines": [{"line": 1, "article": "A-900", "quantity": 1, "unit_price": "64.70"}]}, 422),
        ({"web_order": "5002"}, 422),
        ({"currency": None}, 422),
    ],
)
async def test_an_order_that_is_wrong_is_refused_and_not_there(
    client: aiohttp.ClientSession, database: Database, change: dict[str, object], status: int
) -> None:
    async with client.put(PATH, json=ORDER | change) as answer:
        assert answer.status == status
        assert "title" in await answer.json()
    assert await database.value("select count(*) from erp.sales_order") == 0
    async with client.put(PATH, json=ORDER) as answer:
        assert answer.status == 201
    async with client.put(PATH, json=ORDER | {"reference": "#W2"}) as answer:
        assert answer.status == 409


async def test_a_confirmation_writes_rows_and_events_in_one_transaction(
    client: aiohttp.ClientSession, database: Database
) -> None:
    async with client.put(PATH, json=ORDER):
        pass
    async with client.post("/orders/SO-1001/confirm") as answer:
        assert answer.status == 200
    async with client.post("/orders/SO-1001/confirm") as answer:
        assert answer.status == 409
    async with client.post("/orders/SO-1001/ship") as answer:
        assert answer.status == 200

    found = await events(database)

    assert [(kind, key) for kind, key, _ in found] == [
        ("order.confirmed", "SO-1001"),
        ("stock.changed", "A-100"),
        ("stock.changed", "A-200"),
        ("stock.changed", "A-100"),
        ("stock.changed", "A-200"),
        ("shipment.sent", "SO-1001"),
    ]
    order = found[0][2]
    assert (order["customer_order"], order["total"], order["lines"][0]["unit_price"]) == (1, "64.70", "14.90")
    levels = [(stock["on_hand"], stock["reserved"], stock["available"]) for _, _, stock in found[1:5]]
    assert levels == [(50, 2, 48), (20, 1, 19), (48, 0, 48), (19, 0, 19)]
    assert (found[5][2]["order"], found[5][2]["tracking_number"]) == ("SO-1001", "JJD-SO-1001")
    assert await database.value("select total from erp.sales_order") == Decimal("64.70")


async def test_what_cannot_be_sent_leaves_no_event_behind(client: aiohttp.ClientSession, database: Database) -> None:
    lines = [{"line": 1, "article": "A-300", "quantity": 9, "unit_price": "10.00"}]
    async with client.put(PATH, json=ORDER | {"lines": lines, "total": "90.00"}):
        pass
    async with client.post("/orders/SO-1001/confirm") as answer:
        assert answer.status == 200
    before = await events(database)

    async with client.post("/orders/SO-1001/ship") as answer:
        assert answer.status == 409

    assert await events(database) == before
    assert await database.value("select state from erp.sales_order") == "confirmed"


async def test_before_the_outbox_is_installed_the_erp_says_what_to_do(empty_database: Database) -> None:
    async with ErpServer(pg_url=empty_database.url) as erp, client_of(erp) as client:
        async with client.put(PATH, json=ORDER) as answer:
            assert answer.status == 201
        async with client.post("/orders/SO-1001/confirm") as answer:
            assert answer.status == 503
            assert "outbox migrate" in (await answer.json())["title"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/orders/SO-9/confirm", b"", 404),
        ("/articles/A-9/count", b'{"on_hand": 1}', 404),
        ("/articles/A-100/count", b'{"on_hand": -1}', 422),
        ("/articles/A-100/count", b"{", 400),
        ("/articles", b'{"article": "A-100", "name": "again", "on_hand": 1}', 409),
        ("/articles", b"[]", 400),
        ("/customers", b'{"customer": "C-1001", "name": "again"}', 409),
    ],
)
async def test_what_a_clerk_cannot_do_is_told(
    client: aiohttp.ClientSession, path: str, body: bytes, status: int
) -> None:
    async with client.post(path, data=body) as answer:
        assert answer.status == status


async def test_the_api_wants_its_token(client: aiohttp.ClientSession) -> None:
    for token, status in ((DEFAULT_TOKEN, 200), ("another", 401)):
        async with client.get("/api/ping", headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status == status


async def test_a_customer_who_was_entered_can_buy(client: aiohttp.ClientSession) -> None:
    async with client.post("/customers", json={"customer": "C-1004", "name": "Dina Noor"}) as answer:
        assert answer.status == 201
    async with client.put(PATH, json=ORDER | {"customer": "C-1004"}) as answer:
        assert answer.status == 201


async def test_the_chat_of_the_staff_shows_what_was_written_to_it(client: aiohttp.ClientSession) -> None:
    for body, status in ((b'{"text": "a dead letter"}', 200), (b"{", 400), (b"[]", 400)):
        async with client.post("/chat", data=body) as answer:
            assert answer.status == status
    async with client.get("/chat") as answer:
        assert await answer.text() == "a dead letter\n"
