"""What the broker remembers as published, on a real one: the last message of one queue, for one outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from outbox.model.errors import Misconfigured
from outbox.model.guard_events import WitnessMissing, WitnessOfAnother
from outbox.model.lifecycle import Lifecycle
from outbox.model.witness import Published, Witness
from outbox.rabbitmq.apply import apply, check
from outbox.rabbitmq.publisher import Publisher, RabbitBroker
from outbox.rabbitmq.topology import Mode
from outbox.rabbitmq.witness import hand_over, peek
from tests.kit.broker import Broker
from tests.kit.topology import Topology

ONE = Witness((Published(1, 7, "a"),))
TWO = Witness((Published(1, 7, "a"), Published(2, 9, "b")))
OTHER = Witness((Published(4, 8, "c"),))
QUEUE = "outbox.witness"


@asynccontextmanager
async def relay(broker: Broker, mode: Mode, told: list[Lifecycle] | None = None) -> AsyncIterator[Publisher]:
    server = replace(broker.server, topology=mode)
    report = (told if told is not None else []).append
    async with RabbitBroker(server, (), source="/outbox", name="relay", report=report).publisher() as publisher:
        yield publisher


@pytest.mark.parametrize("mode", [Mode.ARGUMENTS, Mode.POLICIES])
async def test_the_last_witness_takes_the_place_of_the_one_before_and_looking_leaves_it_there(
    broker: Broker, mode: Mode
) -> None:
    if mode is Mode.POLICIES:
        await Topology(broker, mode).apply()
    async with relay(broker, mode) as publisher:
        assert await publisher.recall("o") is None
        await publisher.remember("o", ONE)
        await publisher.remember("o", TWO)
    assert await peek(broker.server, "o") == TWO
    async with relay(broker, mode) as publisher:
        assert await publisher.recall("o") == TWO
        assert await publisher.recall("o") == TWO
    assert await broker.depth(QUEUE) == 1


@pytest.mark.parametrize("mode", [Mode.ARGUMENTS, Mode.POLICIES])
async def test_each_lane_remembers_by_itself_and_hands_over_to_all_when_their_number_changes(
    broker: Broker, mode: Mode
) -> None:
    topology = Topology(broker, mode)
    if mode is Mode.POLICIES:
        await apply(topology.server, topology.api, (), lanes=2)
    lanes = RabbitBroker(topology.server, (), source="/outbox", name="relay", report=lambda _: None, lanes=2)
    for number, witness in enumerate((ONE, OTHER)):
        async with lanes.for_lane(number, lambda _: None).publisher() as publisher:
            assert await publisher.recall("o") is None, "a lane remembers what another has published"
            await publisher.remember("o", witness)
    if mode is Mode.POLICIES:
        with pytest.raises(Misconfigured, match=r"does not have: queue outbox\.witness\.2") as refused:
            await hand_over(topology.server, (), "o", lanes_before=2, lanes_after=3)
        assert "relay.lanes" in refused.value.next_step
        await apply(topology.server, topology.api, (), lanes=3)
    await hand_over(topology.server, (), "o", lanes_before=2, lanes_after=3)
    for number in range(3):
        async with lanes.for_lane(number, lambda _: None).publisher() as publisher:
            known = await publisher.recall("o")
            assert known is not None
            assert set(known.published) == {*ONE.published, *OTHER.published}
    if mode is Mode.POLICIES:
        verdict = (await check(topology.server, topology.api, (), lanes=3, max_payload_bytes=1 << 20))[1]
        assert not verdict.deviations


async def test_nothing_that_is_remembered_is_not_handed_over_as_if_nothing_was_published(broker: Broker) -> None:
    await hand_over(broker.server, (), "o", lanes_before=1, lanes_after=2)
    assert await peek(broker.server, "o", lanes=2) is None


async def test_what_another_outbox_has_left_is_ignored_and_told(broker: Broker) -> None:
    told: list[Lifecycle] = []
    async with relay(broker, Mode.ARGUMENTS, told) as publisher:
        assert await publisher.recall("another") is None
        await publisher.remember("another", ONE)
        assert await publisher.recall("mine") is None
        await publisher.remember("mine", TWO)
    assert told == [WitnessOfAnother(str(broker.server), "another")]
    assert await peek(broker.server, "another") is None
    assert await peek(broker.server, "mine") == TWO


async def test_without_the_queue_a_passive_relay_publishes_and_says_what_is_not_guarded(broker: Broker) -> None:
    await Topology(broker, Mode.POLICIES).apply()
    async with broker.channel() as channel:
        await channel.queue_delete(QUEUE)
    told: list[Lifecycle] = []
    async with relay(broker, Mode.PASSIVE, told) as publisher:
        assert await publisher.recall("o") is None
        await publisher.remember("o", ONE)
    assert told == [WitnessMissing(str(broker.server), QUEUE)]
    assert await peek(broker.server, "o") is None
    async with relay(broker, Mode.POLICIES) as publisher:
        with pytest.raises(Misconfigured, match=f"does not have: queue {QUEUE}") as refused:
            await publisher.recall("o")
    assert "outbox topology apply" in refused.value.next_step


async def test_something_else_in_the_queue_stops_the_relay_and_says_what_to_do(broker: Broker) -> None:
    async with relay(broker, Mode.ARGUMENTS) as publisher:
        async with broker.channel() as channel:
            from aio_pika import Message  # noqa: PLC0415 - only here

            await channel.default_exchange.publish(Message(b"hello"), QUEUE)
        with pytest.raises(Misconfigured, match="something that no relay has put there"):
            await publisher.recall("o")
