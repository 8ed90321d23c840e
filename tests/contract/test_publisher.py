"""The publisher against a real broker: sent means confirmed, persistent, routed and in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from aio_pika import DeliveryMode

from outbox.model.envelope import Envelope, RefusedEvent
from outbox.model.errors import PublishNotConfirmed, Unavailable
from outbox.model.inbox import DeadLetter
from outbox.model.lifecycle import Lifecycle, Unrouted
from outbox.rabbitmq.publisher import Publisher, PublisherKind, RabbitBroker, Sending
from outbox.rabbitmq.topology import FlowRoute
from tests.kit.broker import Broker

FLOWS = (FlowRoute("orders", ("order.#",)),)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
Opened = tuple[Publisher, list[Lifecycle]]


def envelope(
    sequence: int, *, event_type: str = "order.confirmed", key: str | None = "SO-1", size: int = 2
) -> Envelope:
    return Envelope(
        message_id=f"id-{sequence}",
        sequence=sequence,
        type=event_type,
        version=3,
        key=key,
        payload=b'"' + b"x" * (size - 2) + b'"',
        created_at_epoch_seconds=1_700_000_000,
        headers={"traceparent": TRACEPARENT, "tenant": "süd", "count": 7, "is_test": True},
    )


@pytest.fixture(params=["batched", "plain"])
def kind(request: pytest.FixtureRequest) -> PublisherKind:
    """Every test of this file holds for both ways of sending."""
    return request.param


@pytest.fixture
async def opened(broker: Broker, kind: PublisherKind) -> AsyncIterator[Opened]:
    happened: list[Lifecycle] = []
    async with RabbitBroker(
        broker.server, FLOWS, source="/erp", name="test", report=happened.append, sending=Sending(kind)
    ).publisher() as it:
        await broker.bind_audit("order.#")
        yield it, happened


async def test_a_page_arrives_persistent_in_order_and_byte_for_byte(broker: Broker, opened: Opened) -> None:
    publisher, _ = opened
    page = [envelope(n, size=2 + n) for n in range(1, 301)]
    await publisher.publish(page)
    arrived = await broker.take("audit")
    assert [message.message_id for message in arrived] == [event.message_id for event in page]
    assert [message.body for message in arrived] == [event.payload for event in page]
    assert {message.delivery_mode for message in arrived} == {DeliveryMode.PERSISTENT}


async def test_the_properties_and_headers_are_the_published_contract(broker: Broker, opened: Opened) -> None:
    await opened[0].publish([envelope(41)])
    await opened[0].publish([envelope(42, key=None)])
    first, second = await broker.take("audit")
    assert (first.type, first.app_id, first.content_type) == ("order.confirmed", "outbox", "application/json")
    assert first.timestamp is not None
    assert int(first.timestamp.timestamp()) == 1_700_000_000
    assert first.routing_key == "order.confirmed"
    headers = dict(first.headers)
    headers.pop("x-delivery-count", None)  # the broker's own, up to RabbitMQ 3.11 also on the first delivery
    assert headers == {
        "key": "SO-1",
        "sequence": 41,
        "version": 3,
        "traceparent": TRACEPARENT,
        "tenant": "süd",
        "count": 7,
        "is_test": True,
        "cloudEvents_specversion": "1.0",
        "cloudEvents_id": "id-41",
        "cloudEvents_source": "/erp",
        "cloudEvents_type": "order.confirmed",
        "cloudEvents_partitionkey": "SO-1",
    }
    assert "key" not in second.headers
    assert "cloudEvents_partitionkey" not in second.headers


async def test_an_event_that_nobody_has_bound_is_kept(broker: Broker, opened: Opened) -> None:
    await opened[0].publish([envelope(1, event_type="stock.moved"), envelope(2)])
    assert [message.message_id for message in await broker.take("outbox.unrouted")] == ["id-1"]
    assert [message.message_id for message in await broker.take("audit")] == ["id-2"]


async def test_without_an_alternate_exchange_the_publisher_parks_an_unroutable_event_itself(
    broker: Broker, opened: Opened
) -> None:
    publisher, happened = opened
    async with broker.channel() as channel:
        await (await channel.get_queue("outbox.unrouted")).unbind("outbox.unrouted", "")
    await publisher.publish([envelope(1, event_type="stock.moved"), envelope(2)])
    assert [message.message_id for message in await broker.take("outbox.unrouted")] == ["id-1"]
    assert [message.message_id for message in await broker.take("audit")] == ["id-2"]
    assert happened == [Unrouted("id-1", "stock.moved")]


async def test_an_unroutable_event_without_any_place_to_keep_it_is_not_confirmed(
    broker: Broker, opened: Opened
) -> None:
    async with broker.channel() as channel:
        await channel.queue_delete("outbox.unrouted")
    with pytest.raises(PublishNotConfirmed, match="has no queue"):
        await opened[0].publish([envelope(1, event_type="stock.moved")])


async def test_a_nack_is_never_taken_for_an_ack(broker: Broker, opened: Opened) -> None:
    async with broker.channel() as channel:
        full = await channel.declare_queue(
            "full", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
        )
        await full.bind("outbox.events", "order.confirmed")
    await opened[0].publish([envelope(1)])
    with pytest.raises(PublishNotConfirmed, match="refused a message"):
        await opened[0].publish([envelope(n) for n in range(2, 30)])


async def test_pages_that_are_under_way_together_arrive_in_the_order_of_the_calls(
    broker: Broker, opened: Opened
) -> None:
    publisher, _ = opened
    async with asyncio.TaskGroup() as group:
        for first in range(1, 401, 100):
            # The first pages are the big ones: nothing overtakes them.
            page = [envelope(n, size=1000 if first < 200 else 2) for n in range(first, first + 100)]
            group.create_task(publisher.publish(page))
    assert [message.message_id for message in await broker.take("audit")] == [f"id-{n}" for n in range(1, 401)]


async def test_payloads_larger_than_a_frame_arrive_byte_for_byte_between_small_ones(
    broker: Broker, opened: Opened
) -> None:
    page = [envelope(n, size=size) for n, size in enumerate((2, 131_064, 131_065, 2, 1_000_000, 2), start=1)]
    await opened[0].publish(page)
    assert [message.body for message in await broker.take("audit")] == [event.payload for event in page]


async def test_only_the_unroutable_events_of_a_page_are_parked(broker: Broker, opened: Opened) -> None:
    publisher, happened = opened
    async with broker.channel() as channel:
        await (await channel.get_queue("outbox.unrouted")).unbind("outbox.unrouted", "")
    page = [envelope(n, event_type="stock.moved" if n % 3 else "order.confirmed") for n in range(1, 101)]
    await publisher.publish(page)
    for queue, is_parked in (("outbox.unrouted", True), ("audit", False)):
        arrived = [message.message_id for message in await broker.take(queue)]
        assert arrived == [event.message_id for event in page if (event.sequence % 3 != 0) == is_parked]
    assert happened == [Unrouted(event.message_id, event.type) for event in page if event.sequence % 3]


async def test_a_deleted_exchange_is_an_error_and_is_declared_again_by_the_next_publisher(
    broker: Broker, kind: PublisherKind
) -> None:
    opens: Callable[[], RabbitBroker] = lambda: RabbitBroker(  # noqa: E731 - two of the same
        broker.server, FLOWS, source="/erp", name="test", report=lambda _: None, sending=Sending(kind)
    )
    async with opens().publisher() as publisher:
        async with broker.channel() as channel:
            await channel.exchange_delete("outbox.events")
        with pytest.raises(Unavailable):
            await publisher.publish([envelope(1)])
    async with opens().publisher() as publisher:
        await publisher.publish([envelope(1)])
    assert await broker.depth("flow.orders") == 1


async def test_a_rejected_event_leaves_its_reason_and_no_payload_in_the_dead_letters(
    broker: Broker, opened: Opened
) -> None:
    await opened[0].publish_rejected(
        RefusedEvent("id-9", 9, "order.confirmed", 1, "SO-1", "payload has too many bytes")
    )
    (letter,) = await broker.take("outbox.rejected")
    assert letter.body == b""
    assert (letter.message_id, letter.type, letter.delivery_mode) == (
        "id-9",
        "order.confirmed",
        DeliveryMode.PERSISTENT,
    )
    assert letter.headers["x-outbox-reason"] == "payload has too many bytes"
    assert letter.headers["sequence"] == 9


async def test_a_dead_letter_whose_headers_fill_a_frame_is_published_without_what_does_not_fit(
    broker: Broker, opened: Opened
) -> None:
    headers = {"sequence": 5, "key": "SO-1", "note": "x" * 130_900, "tenant": "süd", "n" * 256: 1}
    letter = DeadLetter(
        1, "orders", "id-5", 5, "order.confirmed", 1, "SO-1", 8, "422: " + "no " * 5000, "rejected", headers, b"{}"
    )
    await opened[0].publish_dead([letter, replace(letter, message_id="id-6", headers={"note": "x" * 100_000})])
    await opened[0].publish_rejected(RefusedEvent("id-7", 7, "t" * 300, 1, "SO-1", "x" * 131_000))

    first, second = await broker.take("dead.orders")
    assert (first.message_id, first.body) == ("id-5", b"{}")
    assert {name: first.headers[name] for name in ("sequence", "key", "tenant", "x-outbox-headers-left-out")} == {
        "sequence": 5,
        "key": "SO-1",
        "tenant": "süd",
        "x-outbox-headers-left-out": 2,
    }
    assert "note" not in first.headers
    assert str(first.headers["x-outbox-reason"]).startswith("422: no no ")
    # Nothing is cut off that fits.
    assert (len(str(second.headers["note"])), len(str(second.headers["x-outbox-reason"]))) == (100_000, 15_005)
    (rejected,) = await broker.take("outbox.rejected")
    assert (rejected.headers["sequence"], rejected.headers["x-outbox-reason"]) == (7, "x" * 1000)


async def test_a_dead_letter_is_a_copy_with_reason_class_and_attempts(broker: Broker, opened: Opened) -> None:
    letter = DeadLetter(
        1,
        "orders",
        "id-5",
        5,
        "order.confirmed",
        1,
        "SO-1",
        8,
        "422: no",
        "rejected",
        {"sequence": 5, "key": "SO-1"},
        b"{}",
    )
    await opened[0].publish_dead([letter])
    (copy,) = await broker.take("dead.orders")
    assert copy.body == b"{}"
    assert {name: copy.headers[name] for name in ("x-outbox-reason", "x-outbox-reason-class", "x-outbox-attempts")} == {
        "x-outbox-reason": "422: no",
        "x-outbox-reason-class": "rejected",
        "x-outbox-attempts": 8,
    }
    assert (copy.headers["sequence"], copy.headers["key"], copy.headers["x-outbox-flow"]) == (5, "SO-1", "orders")
