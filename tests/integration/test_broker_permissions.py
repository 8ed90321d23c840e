"""The permissions that ARCHITECTURE.md lists are enough in each mode, on a real broker with exactly those users."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from outbox.model.dead_copies import Copy
from outbox.model.envelope import Envelope, RefusedEvent
from outbox.model.errors import AccessRefused, ExitCode, Misconfigured
from outbox.model.guard_events import TopologyUnseen
from outbox.model.inbox import DeadLetter
from outbox.model.lifecycle import Lifecycle, Unrouted
from outbox.rabbitmq.connection import RabbitServer, connect
from outbox.rabbitmq.dead_queue import DeadQueue
from outbox.rabbitmq.definitions import definitions
from outbox.rabbitmq.desired import Mode, desired
from outbox.rabbitmq.publisher import RabbitBroker
from outbox.rabbitmq.subscription import RabbitConsumer
from outbox.rabbitmq.topology import Presence, _expect, look
from outbox.rabbitmq.version import BrokerVersion
from tests.kit.broker import Broker, manage
from tests.kit.cli import Cli, one_flow
from tests.kit.database import Database
from tests.kit.rabbit_users import management_of, rabbit_user
from tests.kit.topology import FLOW, FLOWS, Topology
from tests.kit.waiting import until

ARCHITECTURE = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text(encoding="utf-8")
OWNED_BY_OTHERS = [Mode.POLICIES, Mode.PASSIVE]


def documented(mode: Mode, who: str) -> dict[str, str]:
    """Return what the table in ARCHITECTURE.md grants."""
    for line in ARCHITECTURE.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 6 and f"`{mode}`" in cells[0] and who in cells[1]:
            first, *others = (cell.replace("\\|", "|").strip("`").replace("FLOW", FLOW) for cell in cells[2:5])
            write, read = (first if other == "the same" else other for other in others)
            return {"configure": first, "write": write, "read": read, "tags": cells[5].strip("`")}
    raise AssertionError(f"ARCHITECTURE.md grants nothing to {who} with {mode}")


@asynccontextmanager
async def server_for(broker: Broker, mode: Mode, who: str, **more: str) -> AsyncIterator[RabbitServer]:
    async with rabbit_user(broker, **documented(mode, who) | more) as url:
        yield RabbitServer(url, topology=mode)


async def made_by_others(broker: Broker, mode: Mode) -> None:
    printed = definitions(desired(FLOWS, mode, BrokerVersion(3, 10)), broker.vhost)
    await manage(management_of(broker), "POST", "/api/definitions", printed)


def event(number: int, event_type: str = "order.confirmed") -> Envelope:
    return Envelope(f"m-{number}", number, event_type, 1, "k", b"{}", 0, {})


async def relay_publishes(server: RabbitServer) -> list[Lifecycle]:
    told: list[Lifecycle] = []
    relay_flows = FLOWS if server.topology is Mode.ARGUMENTS else ()
    relay = RabbitBroker(server, relay_flows, source="/outbox", name="relay", report=told.append)
    async with relay.publisher() as publisher:
        await publisher.publish([event(1), event(2, "nobody.wants.this")])
        await publisher.publish_rejected(RefusedEvent("m-3", 3, "order.confirmed", 1, None, "too large"))
    return told


async def consumer_consumes(server: RabbitServer) -> None:
    consumer = RabbitConsumer(server, FLOWS, prefetch=10, name="consumer")
    async with consumer.subscription(FLOW) as subscription:
        (message,) = await subscription.batch(10, wait_seconds=20)
        assert message.message_id == "m-1"
        await subscription.acknowledge_up_to(message.tag)
    dead = RabbitBroker(server, FLOWS, source="/outbox", name="dead", report=lambda _event: None)
    async with dead.publisher() as publisher:
        letter = DeadLetter(1, FLOW, "m-1", 1, "order.confirmed", 1, "k", 3, "no", "rejected", {}, b"{}")
        await publisher.publish_dead([letter])
    seen: list[Copy] = []

    async def judge(copies: Sequence[Copy]) -> list[bool]:
        seen.extend(copies)
        return [False] * len(copies)

    swept = await DeadQueue(server, FLOW).sweep(judge, lambda: True)
    assert (swept.removed, swept.left, seen) == (0, 1, [Copy(1, 1, "m-1")])


async def test_one_user_that_may_configure_does_everything_with_arguments(broker: Broker) -> None:
    async with server_for(broker, Mode.ARGUMENTS, "relay") as server:
        assert await relay_publishes(server) == []
        await consumer_consumes(server)
        own = Topology(replace(broker, url=server.url), Mode.ARGUMENTS, has_api=False)
        assert (await own.apply()).changes() == ()
    assert [await broker.depth(name) for name in ("outbox.unrouted", "outbox.rejected", f"dead.{FLOW}")] == [1, 1, 1]


@pytest.mark.parametrize("mode", OWNED_BY_OTHERS)
async def test_relay_and_consumer_need_no_permission_to_configure_where_they_declare_nothing(
    broker: Broker, mode: Mode
) -> None:
    await made_by_others(broker, mode)
    async with server_for(broker, mode, "relay") as server:
        assert await relay_publishes(server) == []
        with pytest.raises(AccessRefused):
            await consumer_consumes(server)
    async with server_for(broker, mode, "consumer") as server:
        await consumer_consumes(server)
        with pytest.raises(AccessRefused):
            await relay_publishes(server)
    assert [await broker.depth(name) for name in ("outbox.unrouted", "outbox.rejected", f"dead.{FLOW}")] == [1, 1, 1]


async def test_a_user_with_the_tag_policymaker_applies_policies(broker: Broker) -> None:
    async with rabbit_user(broker, **documented(Mode.POLICIES, "`apply`")) as url:
        api = management_of(broker).replace("guest:guest@", "")
        applying = Topology(replace(broker, url=url, management_url=api), Mode.POLICIES)
        assert (await applying.apply()).problems == ()
    assert await Topology(broker, Mode.POLICIES).deviations() == []


@pytest.mark.parametrize(
    ("mode", "next_step"),
    [(Mode.POLICIES, 'run "outbox topology apply"'), (Mode.PASSIVE, "topology print --definitions")],
)
async def test_what_is_missing_is_named_and_never_declared(broker: Broker, mode: Mode, next_step: str) -> None:
    server = replace(broker.server, topology=mode)
    with pytest.raises(Misconfigured, match=f"queue flow.{FLOW}, queue dead.{FLOW}") as of_consumer:
        await consumer_consumes(server)
    with pytest.raises(Misconfigured, match=r"exchange outbox.events, .*queue outbox.unrouted") as of_relay:
        await relay_publishes(server)
    assert next_step in of_consumer.value.next_step
    assert next_step in of_relay.value.next_step
    assert await manage(management_of(broker), "GET", f"/api/queues/{broker.vhost}?disable_stats=true") == []


async def test_without_an_alternate_exchange_the_relay_parks_and_the_check_says_what_it_needs(broker: Broker) -> None:
    await made_by_others(broker, Mode.PASSIVE)
    await manage(management_of(broker), "DELETE", f"/api/policies/{broker.vhost}/outbox-events")
    verdict = await Topology(broker, Mode.PASSIVE).check()

    granted = documented(Mode.PASSIVE, "relay")["write"].replace("^outbox", r"^amq\.default$|^outbox")
    async with server_for(broker, Mode.PASSIVE, "relay", write=granted) as server:
        told = await relay_publishes(server)

    assert told == [Unrouted("m-2", "nobody.wants.this")]
    assert await broker.depth("outbox.unrouted") == 1
    assert verdict.deviations == ()
    assert any("amq.default" in note for note in verdict.notes)


async def test_a_refused_passive_declare_is_told_and_stops_nothing(broker: Broker) -> None:
    """RabbitMQ 4.3.0 refuses them without the permission to configure; here the default exchange is refused to all."""
    await made_by_others(broker, Mode.PASSIVE)
    server, told = replace(broker.server, topology=Mode.PASSIVE), list[Lifecycle]()
    refused, missing, there = ("exchange", ""), ("queue", "nowhere"), ("queue", "outbox.unrouted")
    async with connect(server, name="test") as connection:
        seen = await look(connection, str(server), [refused, missing, refused, there])
        await _expect(connection, server, [refused, there], told.append)

    assert seen == {refused: Presence.REFUSED, missing: Presence.MISSING, there: Presence.THERE}
    assert [type(one) for one in told] == [TopologyUnseen]


async def test_a_passive_process_runs_on_what_others_made_and_ends_when_it_is_not_there(
    cli: Cli, database: Database, broker: Broker
) -> None:
    cli.settings(one_flow() | {"rabbitmq": {"topology": "passive"}})
    await database.value("select outbox.emit('order.confirmed', 'SO-1', '{}')")
    async with rabbit_user(broker, **documented(Mode.PASSIVE, "relay")) as url:
        relay = replace(cli, pg_url=database.url, amqp_url=url)
        missing = await relay("relay", "--drain")
        await made_by_others(broker, Mode.PASSIVE)
        drained = await relay("relay", "--drain")

    assert "does not have: exchange outbox.events" in missing.refusal(ExitCode.MISCONFIGURED)
    assert drained.code == ExitCode.OK, drained
    assert await broker.depth(f"flow.{FLOW}") == 1


async def test_publishing_and_consuming_of_one_process_are_on_connections_of_their_own(
    cli: Cli, database: Database, broker: Broker
) -> None:
    cli.settings(one_flow())
    url = management_of(broker)

    async def listed(path: str) -> list[dict[str, dict[str, str]]]:
        rows = await manage(url, "GET", path)
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []

    async with replace(cli, pg_url=database.url, amqp_url=broker.url).running("run") as process:
        await process.logged("lead taken")

        async def consumers() -> list[dict[str, dict[str, str]]]:
            # Told before the broker knows their channels, they have an empty list in place of them.
            rows = await listed(f"/api/consumers/{broker.vhost}")
            return [row for row in rows if isinstance(row["channel_details"], dict)]

        await until(consumers, what="the flow is consumed")

        async def names() -> dict[str, dict[str, str]] | None:
            rows = await listed(f"/api/vhosts/{broker.vhost}/connections")
            found = {row["client_properties"]["connection_name"]: row for row in rows}
            return found if len(found) >= 3 else None

        found = await until(names, what="three connections")
        consuming = {row["channel_details"]["connection_name"] for row in await consumers()}

    assert found is not None
    assert set(found) == {"outbox-relay", f"outbox-consume flow.{FLOW}", f"outbox-dead {FLOW}"}
    assert consuming == {found[f"outbox-consume flow.{FLOW}"]["name"]}
