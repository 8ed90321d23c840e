"""The three modes on a real broker: what is made is right, what is printed can be imported, what is wrong is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aio_pika import Message
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelPreconditionFailed, DeliveryError

from outbox.model.errors import AccessRefused, Misconfigured, Unavailable
from outbox.rabbitmq.apply import check
from outbox.rabbitmq.definitions import definitions
from outbox.rabbitmq.desired import FlowRoute, Mode, desired
from outbox.rabbitmq.management import ManagementServer
from outbox.rabbitmq.version import BrokerVersion
from tests.kit.broker import Broker, manage
from tests.kit.rabbit_users import management_of, rabbit_user
from tests.kit.topology import FLOW, FLOWS, Topology

QUORUM = {"x-queue-type": "quorum"}


@pytest.mark.parametrize("mode", [Mode.ARGUMENTS, Mode.POLICIES])
async def test_what_is_applied_passes_the_check_and_applying_again_changes_nothing(broker: Broker, mode: Mode) -> None:
    topology = Topology(broker, mode)

    before = await topology.deviations()
    planned = await topology.plan()
    assert await topology.deviations() == before != []
    applied = await topology.apply()
    after = await topology.check()

    assert planned.changes() == applied.changes() != ()
    assert (after.deviations, after.notes, after.unseen) == ((), (), ())
    assert (await topology.apply()).changes() == ()


async def test_policies_are_put_before_the_queues_and_act_on_them(broker: Broker) -> None:
    topology = Topology(broker, Mode.POLICIES)

    steps = (await topology.apply()).changes()

    kinds = [step.thing.partition(" ")[0] for step in steps]
    assert kinds == sorted(kinds, key=["policy", "exchange", "queue"].index)
    queues = await manage(management_of(broker), "GET", f"/api/queues/{broker.vhost}?disable_stats=true")
    assert isinstance(queues, list)
    assert {queue["name"]: (queue["policy"], queue["arguments"]) for queue in queues} == {
        f"flow.{FLOW}": (f"outbox-flow-{FLOW}", {**QUORUM, "x-single-active-consumer": True}),
        f"dead.{FLOW}": ("outbox-kept", QUORUM),
        "outbox.rejected": ("outbox-kept", QUORUM),
        "outbox.unrouted": ("outbox-kept", QUORUM),
        "outbox.witness": ("outbox-witness", QUORUM),
    }
    async with broker.channel() as channel:
        exchange = await channel.get_exchange("outbox.events")
        await exchange.publish(Message(b"nobody", delivery_mode=2), "stock.changed")
        await exchange.publish(Message(b"mine", delivery_mode=2), "order.confirmed")
        async with (await channel.get_queue(f"flow.{FLOW}")).iterator(timeout=20) as messages:
            async for message in messages:
                await message.reject(requeue=False)
                break
        async with (await channel.get_queue(f"dead.{FLOW}")).iterator(timeout=20) as letters:
            async for letter in letters:
                await letter.ack()
                assert letter.body == b"mine"
                break
    assert [message.body for message in await broker.take("outbox.unrouted")] == [b"nobody"]


@pytest.mark.parametrize("mode", Mode)
async def test_printed_definitions_can_be_imported_and_are_right(broker: Broker, mode: Mode) -> None:
    printed = definitions(desired(FLOWS, mode, BrokerVersion(3, 10)), broker.vhost)
    await manage(management_of(broker), "POST", "/api/definitions", printed)

    for checked in {mode, Mode.PASSIVE}:
        assert await Topology(broker, checked).deviations() == []


async def test_check_names_everything_that_somebody_changed_by_hand(broker: Broker, version: tuple[int, ...]) -> None:
    # What a queue has whose limit nobody sets.
    limit = "delivery-limit 20" if version >= (4,) else "no delivery-limit (a requeued message goes to the back)"
    topology, flow = Topology(broker, Mode.POLICIES), f"flow.{FLOW}"
    await topology.apply()
    await topology.put("policies", "ttl", {"pattern": "^dead", "definition": {"message-ttl": 9}, "priority": 200})
    await topology.put("policies", f"outbox-flow-{FLOW}", {"pattern": f"^{flow}$", "definition": {"delivery-limit": 3}})
    await topology.delete(f"/api/bindings/{broker.vhost}/e/outbox.events/q/{flow}/order.%2A")
    await topology.delete(f"/api/queues/{broker.vhost}/outbox.rejected")

    assert await topology.deviations() == [
        f"policy outbox-flow-{FLOW}: ^{flow}$ {{'delivery-limit': 3}}",
        "queue outbox.rejected: nothing",
        f"queue dead.{FLOW}: {limit}",
        f"queue dead.{FLOW}: message-ttl 9",
        f"queue dead.{FLOW}: policy ttl",
        f"queue {flow}: delivery-limit 3",
        f"queue {flow}: no dead-letter-exchange",
        f"queue {flow}: no dead-letter-routing-key",
        f"queue {flow}: no dead-letter-strategy",
        f"queue {flow}: no overflow",
        f"queue {flow}: no binding",
    ]
    replaced = await topology.apply()
    assert {(step.action, step.thing) for step in replaced.changes()} == {
        ("replace", f"policy outbox-flow-{FLOW}"), ("declare", "queue outbox.rejected"), ("bind", f"queue {flow}"),
    }  # fmt: skip
    assert await topology.deviations() == [
        f"queue dead.{FLOW}: {limit}",
        f"queue dead.{FLOW}: message-ttl 9",
        f"queue dead.{FLOW}: policy ttl",
    ]


async def _is_pushed_back(channel: AbstractChannel) -> bool:
    # The limit is soft: the queue takes a message or two more.
    for _ in range(10):
        try:
            await channel.default_exchange.publish(Message(b"x", delivery_mode=2), "q")
        except DeliveryError:
            return True
    return False


async def test_the_broker_settles_arguments_and_policies_as_the_check_believes(broker: Broker) -> None:
    policy = {"pattern": "^q$", "apply-to": "queues", "definition": {"overflow": "reject-publish", "delivery-limit": 1}}
    await manage(management_of(broker), "PUT", f"/api/policies/{broker.vhost}/p", policy)
    arguments = QUORUM | {"x-overflow": "drop-head", "x-max-length": 1, "x-delivery-limit": 1000}
    async with broker.channel() as channel:
        queue = await channel.declare_queue("q", durable=True, arguments=dict(arguments))
        assert await _is_pushed_back(channel)
        counts = []
        while (message := await queue.get(fail=False)) is not None:
            counts.append(message.headers.get("x-delivery-count", 0))
            await message.reject(requeue=True)
    assert max(counts) == 1, "the lower delivery limit acts"


async def test_a_dead_letter_routing_key_is_no_argument_beside_a_policy_s_exchange(broker: Broker) -> None:
    """Why each flow has a policy of its own."""
    async with broker.channel() as channel:
        with pytest.raises(ChannelPreconditionFailed, match="routing_key_but_no_dlx_defined"):
            await channel.declare_queue("q", durable=True, arguments={**QUORUM, "x-dead-letter-routing-key": "a"})


async def test_an_operator_s_policy_counts_as_well(broker: Broker) -> None:
    topology = Topology(broker, Mode.ARGUMENTS)
    await topology.apply()
    strict = {"pattern": "^flow", "apply-to": "queues", "definition": {"delivery-limit": 2}, "priority": 1}
    await topology.put("operator-policies", "strict", strict)

    assert await topology.deviations() == [f"queue flow.{FLOW}: delivery-limit 2"]


@pytest.mark.parametrize("has_api", [True, False], ids=["api", "amqp only"])
async def test_a_queue_with_other_arguments_is_told_and_the_rest_is_made(broker: Broker, has_api: bool) -> None:
    async with broker.channel() as channel:
        await channel.declare_queue(f"dead.{FLOW}", durable=True, arguments=dict(QUORUM))

    done = await Topology(broker, Mode.ARGUMENTS, has_api).apply()

    (problem,) = done.problems
    assert problem.thing == f"queue dead.{FLOW}"
    assert "x-delivery-limit" in problem.found
    assert "delete it when it is empty" in problem.next_step
    assert ("declare", f"queue dead.{FLOW}") not in {(step.action, step.thing) for step in done.changes()}
    assert await broker.depth(f"flow.{FLOW}") == 0


async def test_a_flow_that_is_gone_from_the_settings_loses_nothing(broker: Broker) -> None:
    await Topology(broker, Mode.POLICIES).apply()
    left = Topology(broker, Mode.POLICIES, flows=(FlowRoute("other", ("other.#",)),))

    await left.apply()

    assert await left.deviations() == []
    assert await Topology(broker, Mode.POLICIES).deviations() == []


async def test_without_the_api_the_check_says_what_it_could_not_see(broker: Broker) -> None:
    topology = Topology(broker, Mode.ARGUMENTS, has_api=False)
    assert f"queue flow.{FLOW}: nothing" in await topology.deviations()

    done = await topology.apply()
    again = await topology.apply()

    assert (len(done.changes()), again.changes(), len(again.notes)) == (8, (), 1)
    verdict = await topology.check()
    assert verdict.deviations == ()
    assert verdict.unseen[0].startswith("arguments, policies, bindings and delivery limits")


async def test_a_user_of_the_api_who_only_looks_can_check(broker: Broker, version: tuple[int, ...]) -> None:
    await Topology(broker, Mode.POLICIES).apply()
    async with rabbit_user(broker, tags="management") as url:
        looking = Topology(replace(broker, url=url), Mode.POLICIES)
        api = ManagementServer.beside(looking.server, management_of(broker).replace("guest:guest@", ""))
        _, verdict = await check(looking.server, api, FLOWS, max_payload_bytes=1)

    assert verdict.deviations == ()
    unseen = () if version >= (4,) else ("feature flags: the API's user may not list them",)
    assert verdict.unseen == unseen


async def test_an_api_that_refuses_us_is_away_or_is_another_broker_s_is_told(broker: Broker) -> None:
    topology = Topology(broker, Mode.POLICIES)
    address = management_of(broker).rpartition("@")[2]

    async def told(url: str) -> str:
        api = ManagementServer.beside(topology.server, url)
        with pytest.raises((Misconfigured, Unavailable)) as caught:
            await check(topology.server, api, FLOWS, max_payload_bytes=1)
        return f"{type(caught.value).__name__}: {caught.value}"

    refused = await told(f"http://guest:s3cret@{address}")
    assert refused.startswith(f"{AccessRefused.__name__}: RabbitMQ's management API at {address} refused user 'guest'")
    assert "s3cret" not in refused
    away = await told("http://127.0.0.1:9")
    assert away.startswith("Unavailable: RabbitMQ's management API at 127.0.0.1:9 is unavailable")
    assert "answered 404" in await told(f"http://{address}/elsewhere")
    assert "does not speak TLS" in await told(f"https://{address}")
