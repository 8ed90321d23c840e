"""The publisher when the broker blocks it, freezes, or is cut off at any byte: never a false confirm, never a hang."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from outbox.model.envelope import Envelope
from outbox.model.errors import OutboxError, Unavailable
from outbox.model.lifecycle import Lifecycle, PublishingBlocked, PublishingUnblocked
from outbox.model.witness import REMEMBERED_EVENTS, Published, Witness
from outbox.rabbitmq.connection import RabbitServer
from outbox.rabbitmq.publisher import Publisher, PublisherKind, RabbitBroker, Sending
from sandbox.private_rabbitmq import PrivateRabbitMQ
from sandbox.tcp_proxy import Direction
from tests.kit.broker import Broker
from tests.kit.freezing import freeze
from tests.kit.own_broker import own_rabbitmq, set_max_message_size
from tests.kit.site import proxied
from tests.kit.waiting import until

CONFIRM_SECONDS = 0.5
# A confirm on the wire: frame header, class, method, tag, flags, end.
ACK_BYTES = 7 + 4 + 8 + 1 + 1
# How many cuts are tried at the same time.
SIDE_BY_SIDE = 8
pytestmark = pytest.mark.xdist_group("publisher weather")


@pytest.fixture(params=["batched", "plain"])
def kind(request: pytest.FixtureRequest) -> PublisherKind:
    return request.param


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[PrivateRabbitMQ]:
    with own_rabbitmq() as server:
        yield server


@asynccontextmanager
async def publisher(
    url: str, kind: PublisherKind, happened: list[Lifecycle], *, confirm_seconds: float = CONFIRM_SECONDS
) -> AsyncIterator[Publisher]:
    server = RabbitServer(url, confirm_timeout_seconds=confirm_seconds)
    async with RabbitBroker(
        server, (), source="/erp", name="test", report=happened.append, sending=Sending(kind)
    ).publisher() as opened:
        yield opened


def events(first: int, count: int) -> list[Envelope]:
    return [Envelope(f"id-{n}", n, "order.confirmed", 1, "SO-1", b"{}", 0, {}) for n in range(first, first + count)]


async def test_a_blocked_broker_is_waited_for_and_told_and_nothing_is_lost_or_repeated(
    rabbitmq: PrivateRabbitMQ, kind: PublisherKind
) -> None:
    broker = Broker(rabbitmq.url, rabbitmq.management_url, "/")
    happened: list[Lifecycle] = []
    async with publisher(rabbitmq.url, kind, happened) as opened:
        await broker.bind_audit(queue=f"audit-{kind}")
        await opened.publish(events(1, 1))
        await asyncio.to_thread(rabbitmq.ctl, "set_vm_memory_high_watermark", "0")
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(opened.publish(events(2, 50)))

                async def is_told() -> bool:
                    return any(isinstance(event, PublishingBlocked) for event in happened)

                await until(is_told, what="the blocked broker is told")
                told_at = time.monotonic()

                async def is_past_every_timeout() -> bool:
                    return time.monotonic() - told_at > 3 * CONFIRM_SECONDS

                await until(is_past_every_timeout, what="the confirm time-out has passed three times")
                assert not sending.done()
                await asyncio.to_thread(rabbitmq.ctl, "set_vm_memory_high_watermark", "0.4")
        finally:
            await asyncio.to_thread(rabbitmq.ctl, "set_vm_memory_high_watermark", "0.4")
        assert sending.result() == []
    assert [type(event) for event in happened] == [PublishingBlocked, PublishingUnblocked]
    assert isinstance(happened[1], PublishingUnblocked)
    assert happened[1].blocked_seconds > 3 * CONFIRM_SECONDS
    arrived = [message.message_id for message in await broker.take(f"audit-{kind}")]
    assert arrived == [f"id-{n}" for n in range(1, 52)]


async def test_a_frozen_broker_is_an_error_in_time_and_never_a_confirm(
    rabbitmq: PrivateRabbitMQ, kind: PublisherKind
) -> None:
    happened: list[Lifecycle] = []
    assert rabbitmq.pid is not None
    async with publisher(rabbitmq.url, kind, happened) as opened:
        try:
            await freeze(rabbitmq.pid)
            with pytest.raises(Unavailable, match="confirm"):
                await opened.publish(events(1, 10))
        finally:
            os.kill(rabbitmq.pid, signal.SIGCONT)
    async with publisher(rabbitmq.url, kind, happened, confirm_seconds=30) as opened:
        assert await opened.publish(events(1, 10)) == []


async def test_a_broker_that_refuses_a_size_is_asked_once_for_each_new_connection(
    rabbitmq: PrivateRabbitMQ, kind: PublisherKind
) -> None:
    broker = Broker(rabbitmq.url, rabbitmq.management_url, "/")
    await set_max_message_size(rabbitmq, 100_000)
    try:
        opens = RabbitBroker(
            broker.server, (), source="/erp", name="test", report=lambda _: None, sending=Sending(kind)
        )
        small, large = events(1, 2)
        large = large._replace(payload=b"x" * 100_001)
        async with opens.publisher() as opened:
            await broker.bind_audit(queue=f"sizes-{kind}")
            with pytest.raises(Unavailable, match="messages of 100000 bytes at most"):
                await opened.publish([small, large])
        async with opens.publisher() as opened:
            (refused,) = await opened.publish([small, large])
            assert await opened.publish([large._replace(payload=b"x" * 100_000)]) == []
        # A connection that the limit has not cost may lead to a broker that takes more: it asks once more.
        async with opens.publisher() as opened:
            with pytest.raises(Unavailable, match="messages of 100000 bytes at most"):
                await opened.publish([small, large])
        async with opens.publisher() as opened:
            assert [event.message_id for event in await opened.publish([small, large])] == ["id-2"]
        await set_max_message_size(rabbitmq, 134_217_728)
        async with opens.publisher() as opened:
            assert await opened.publish([small, large]) == []
    finally:
        await set_max_message_size(rabbitmq, 134_217_728)
    assert (refused.message_id, refused.sequence) == ("id-2", 2)
    assert "100001 bytes, this broker takes 100000" in refused.reason
    arrived = [(message.message_id, len(message.body)) for message in await broker.take(f"sizes-{kind}")]
    assert arrived[-3:] == [("id-1", 2), ("id-1", 2), ("id-2", 100_001)]
    assert arrived.count(("id-2", 100_000)) == 1


async def test_a_witness_that_the_broker_finds_too_large_remembers_the_newest(
    rabbitmq: PrivateRabbitMQ, kind: PublisherKind
) -> None:
    witness = Witness(tuple(Published(1, n, str(uuid.uuid4())) for n in range(1, REMEMBERED_EVENTS + 1)))
    opens = RabbitBroker(
        RabbitServer(rabbitmq.url), (), source="/erp", name="test", report=lambda _: None, sending=Sending(kind)
    )
    await set_max_message_size(rabbitmq, 2000)
    try:
        async with opens.publisher() as opened:
            await opened.recall("o")
            with pytest.raises(Unavailable, match="messages of 2000 bytes at most"):
                await opened.remember("o", witness)
        async with opens.publisher() as opened:
            await opened.recall("o")
            await opened.remember("o", witness)
            remembered = await opened.recall("o")
    finally:
        await set_max_message_size(rabbitmq, 134_217_728)
    assert remembered is not None
    assert remembered.published == witness.published[-25:]


@pytest.mark.parametrize("direction", list(Direction))
async def test_a_connection_cut_at_any_byte_is_never_a_false_confirm(
    broker: Broker, kind: PublisherKind, direction: Direction
) -> None:
    """Record how many bytes one publish takes; then cut one after each of them, and compare with the queue."""
    confirmed: set[str] = set()
    outcomes = {"confirmed": 0, "refused": 0}
    async with publisher(broker.url, kind, [], confirm_seconds=30):
        await broker.bind_audit()

    async def attempt(cut_at: int | None) -> int:
        """Publish two events through a proxy that cuts after so many bytes; return how many bytes went through."""
        # Of one length, so that every exchange has as many bytes as the recorded one.
        tag = f"{direction}-{cut_at if cut_at is not None else 9999:04}"
        page = [Envelope(f"{tag}-{n}", n, "order.confirmed", 1, "SO-1", b'{"amount": "1.10"}', 0, {}) for n in range(2)]
        async with proxied(broker.url) as (proxy, url):
            try:
                async with publisher(url, kind, [], confirm_seconds=30) as opened:
                    before = proxy.forwarded_bytes[direction]
                    if cut_at is not None:
                        proxy.cut_after(cut_at, direction)
                    assert await opened.publish(page) == []
                    confirmed.update(event.message_id for event in page)
                    outcomes["confirmed"] += 1
                    return proxy.forwarded_bytes[direction] - before
            except OutboxError:
                outcomes["refused"] += 1
                return 0

    whole = await attempt(None)
    step = 1 if kind == "batched" else 10
    cuts = iter(range(0, whole, step))

    async def worker() -> None:
        for cut_at in cuts:
            await attempt(cut_at)

    async with asyncio.TaskGroup() as group:
        for _ in range(SIDE_BY_SIDE):
            group.create_task(worker())
    arrived = {str(message.message_id) for message in await broker.take("audit")}
    assert confirmed <= arrived, f"confirmed and not there: {sorted(confirmed - arrived)[:10]}"
    print(f"{kind} {direction}: {whole} bytes, {outcomes}")  # noqa: T201 - how far it went
    # Two events may be confirmed by two frames or by one; within the first, nothing can be confirmed.
    certain = whole if direction is Direction.TO_TARGET else ACK_BYTES
    assert outcomes["refused"] >= certain // step
