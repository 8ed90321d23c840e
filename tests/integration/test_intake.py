"""From a webhook to a row of the outbox: each scheme, each event once, and the same answer for whatever comes again."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit.database import Database
from tests.kit.intake import SHOPIFY_SECRET, STRIPE_SECRET, Partner, intake_settings, order, partner_of
from tests.kit.intake_requests import mac, shopify_headers, standard_headers, stripe_headers

SHOP = {"X-Shopify-Topic": "orders/create", "X-Shopify-Shop-Domain": "a.example.com", "X-Shopify-Webhook-Id": "w-1"}
DEAL = {"eventId": 1, "subscriptionId": 1, "portalId": 2, "occurredAt": 3, "objectId": 7} | {
    "subscriptionType": "deal.creation"
}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def partner(database: Database, tmp_path: Path) -> AsyncIterator[Partner]:
    async with partner_of(database, intake_settings(database, tmp_path)) as ready:
        yield ready


async def test_a_webhook_becomes_one_event_with_the_bytes_that_came(partner: Partner) -> None:
    body = b'{"type": "order.placed",\n  "data": {"order": "SO-1", "amount": 10.10, "text": "\\u00e4 \xc3\xa4"}}'
    reply = await partner.partner(body, name="msg_7", traceparent=TRACEPARENT)

    (event,) = await partner.events()
    assert (reply.status, reply.document) == (202, {"event_id": event["event_id"]})
    assert (event["type"], event["version"], event["key"]) == ("order.placed", 1, "SO-1")
    assert event["payload"].encode() == body
    told = {"intake_source": "partner", "intake_id": "msg_7", "traceparent": TRACEPARENT}
    assert json.loads(event["headers"]) == told


async def test_what_comes_again_gets_the_same_answer_and_adds_nothing(partner: Partner) -> None:
    replies = [await partner.partner(order(), name="msg_7", seconds=number) for number in range(3)]

    assert {reply.status for reply in replies} == {202}
    assert len({reply.document["event_id"] for reply in replies}) == 1
    assert len(await partner.events()) == 1


async def test_what_comes_many_times_at_once_is_one_event_and_has_one_answer(partner: Partner) -> None:
    answers: list[str] = []

    async def send(name: str) -> None:
        answers.append((await partner.partner(order(), name=name)).document["event_id"])

    async with asyncio.TaskGroup() as group:
        for number in range(60):
            group.create_task(send(f"msg_{number % 3}"))

    assert len(set(answers)) == 3
    assert {event["event_id"] for event in await partner.events()} == set(answers)
    assert len(await partner.events()) == 3


async def test_two_processes_that_get_the_same_at_once_take_it_once(
    database: Database, tmp_path: Path, partner: Partner
) -> None:
    answers: list[str] = []

    async def send(one: Partner, name: str) -> None:
        answers.append((await one.partner(order(), name=name)).document["event_id"])

    async with partner_of(database, intake_settings(database, tmp_path)) as other, asyncio.TaskGroup() as group:
        for number in range(100):
            # In the opposite order: names are locked in one order all the same.
            group.create_task(send(partner, f"msg_{number % 10}"))
            group.create_task(send(other, f"msg_{9 - number % 10}"))

    assert len(answers) == 200
    assert len(set(answers)) == 10
    assert {event["event_id"] for event in await partner.events()} == set(answers)


async def test_every_scheme_takes_what_its_sender_signs(partner: Partner) -> None:
    shop = b'{"id": 820982911946154508}'
    pay = b'{"id": "evt_1", "type": "charge.succeeded", "data": {"object": {"id": "ch_1"}}}'
    git = b'{"ref": "refs/heads/main"}'
    signature = mac(b"It's a Secret to Everybody", git).hex()
    at = str(int(time.time()))
    replies = [
        await partner.post("/intake/shop", shop, shopify_headers(shop, secret=SHOPIFY_SECRET) | SHOP),
        await partner.post("/intake/pay", pay, stripe_headers(pay, at=at, secret=STRIPE_SECRET)),
        await partner.post("/intake/git", git, {"X-Hub-Signature-256": f"sha256={signature}"}),
    ]

    assert [reply.status for reply in replies] == [202, 202, 202]
    events = [
        (event["type"], event["key"], json.loads(event["headers"])["intake_id"][:9]) for event in await partner.events()
    ]
    assert events == [
        ("shop.order_created", "820982911946154508", "a.example"),
        ("payment.charged", "ch_1", "evt_1"),
        ("code.pushed", None, "sha256:" + json.loads((await partner.events())[2]["headers"])["intake_id"][7:9]),
    ]


async def test_without_an_id_what_has_the_same_payload_is_the_same(partner: Partner) -> None:
    async def push(body: bytes) -> str:
        signature = mac(b"It's a Secret to Everybody", body).hex()
        reply = await partner.post("/intake/git", body, {"X-Hub-Signature-256": f"sha256={signature}"})
        return str(reply.document["event_id"])

    first, again, other = await push(b'{"a": 1}'), await push(b'{"a": 1}'), await push(b'{"a": 2}')
    assert first == again != other


async def test_each_element_of_a_list_is_an_event_and_is_taken_once(partner: Partner) -> None:
    events = [DEAL | {"eventId": number} for number in range(3)]
    first = await partner.crm(events[:2])
    second = await partner.crm(events)

    assert [first.status, second.status] == [202, 202]
    assert second.document["event_ids"][:2] == first.document["event_ids"]
    taken = await partner.events()
    assert [event["event_id"] for event in taken] == second.document["event_ids"]
    assert [json.loads(event["payload"])["eventId"] for event in taken] == [0, 1, 2]
    assert (await partner.crm([])).document == {"event_ids": []}


async def test_of_a_list_what_can_be_taken_is_taken_and_the_rest_is_told(partner: Partner) -> None:
    reply = await partner.crm([DEAL, DEAL | {"subscriptionType": "deal.unheard"}, DEAL | {"eventId": 2}])

    assert (reply.status, reply.problem) == (422, "type-unknown")
    assert "event 1 of the list" in reply.document["detail"]
    assert "2 others of the list are taken" in reply.document["detail"]
    assert len(await partner.events()) == 2


async def test_a_known_id_with_another_content_is_told_and_not_taken(partner: Partner) -> None:
    first = await partner.partner(order(1), name="msg_7")
    second = await partner.partner(order(2), name="msg_7")

    assert second.document == first.document
    assert len(await partner.events()) == 1
    metrics = partner.app.metrics.exposition().decode()
    assert 'intake_changed_events_total{source="partner"} 1.0' in metrics
    assert 'intake_events_total{source="partner"} 1.0' in metrics


async def test_what_is_packed_is_verified_as_it_came_and_stored_unpacked(partner: Partner) -> None:
    packed = gzip.compress(order())
    reply = await partner.partner(packed, **{"Content-Encoding": "gzip"})
    assert reply.status == 202
    assert (await partner.events())[0]["payload"].encode() == order()

    # Signed over what was packed: another signature than over what came.
    headers = standard_headers(order(), at=str(int(time.time()))) | {"Content-Encoding": "gzip"}
    assert (await partner.post("/intake/partner", packed, headers)).problem == "signature-invalid"


async def test_what_the_outbox_cannot_hold_is_refused_alone(partner: Partner) -> None:
    async with partner.database.connection() as connection:
        await connection.execute("alter table outbox.event add constraint no_six check (key <> 'SO-6')")
    replies = {}

    async def send(number: int) -> None:
        replies[number] = await partner.partner(order(number))

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(send(number))

    assert replies.pop(6).problem == "event-refused"
    assert {reply.status for reply in replies.values()} == {202}
    assert {event["key"] for event in await partner.events()} == {f"SO-{number}" for number in replies}
