"""The copy of a dead letter leaves its queue when its delivery is resolved; moved back on the broker, it is a retry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
from aio_pika import Message
from aio_pika.exceptions import ChannelNotFoundEntity

from outbox.inbox.dead import DeadLetterPublisher
from outbox.inbox.lanes import Ownership
from outbox.model.dead_copies import CopiesStay
from outbox.model.dead_letters import Action
from outbox.model.delivery import Settlement, State
from outbox.model.inbox import DeadLetter
from outbox.model.lifecycle import Lifecycle
from outbox.postgres.inbox_store import InboxStore
from outbox.rabbitmq.connection import RabbitServer
from outbox.rabbitmq.dead_queue import DeadQueue
from outbox.rabbitmq.desired import FlowRoute
from outbox.rabbitmq.publisher import RabbitBroker
from outbox.supervisor import Pulse, Stop
from sandbox.crm import CrmServer
from sandbox.crm_faults import Script
from tests.kit import running as whole
from tests.kit.broker import Broker, manage
from tests.kit.database import Database
from tests.kit.inbox import FLOW
from tests.kit.parked import DEAD, Desk
from tests.kit.rabbit_users import management_of, rabbit_user
from tests.kit.running import Integration, running
from tests.kit.verbs import Verbs
from tests.kit.waiting import until

QUEUE = f"dead.{FLOW}"
AGAIN = Settlement(State.DEAD, reason="again", reason_class="rejected")


@pytest.fixture
async def integration(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Integration]:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as crm:
        yield Integration(database, broker, crm, tmp_path)


async def published(desk: Desk, broker: Broker) -> list[DeadLetter]:
    letters = await desk.inbox.session.dead_letters("me", 100)
    route = FlowRoute(FLOW, ["order.confirmed"])
    rabbit = RabbitBroker(broker.server, [route], source="/", name="test", report=lambda _event: None)
    async with rabbit.publisher() as publisher:
        await publisher.publish_dead(letters)
    await desk.inbox.session.dead_letters_published(letters)
    return letters


async def swept(desk: Desk, broker: Broker) -> tuple[int, int, bool]:
    done = await DeadQueue(broker.server, FLOW).sweep(desk.inbox.session.judge_copies, lambda: True)
    return done.removed, done.left, done.is_complete


async def test_copies_of_what_is_resolved_leave_the_queue_and_the_others_stay_in_order(
    desk: Desk, broker: Broker
) -> None:
    await desk.settled(DEAD, *range(1, 31))
    await published(desk, broker)
    async with broker.channel() as channel:
        foreign = Message(b"?", message_id="m1", headers={"x-outbox-flow": FLOW, "x-outbox-reason-class": "rejected"})
        await channel.default_exchange.publish(foreign, QUEUE)
    for action in (Action.RETRY, Action.SKIP, Action.HAPPENED):
        await desk.resolve(action, *(f"m{n}" for n in range(1, 31) if n % 4 == list(Action).index(action) % 4))
    states = await desk.inbox.states()
    left = [name for name, state in states.items() if state == "dead"]

    assert 0 < len(left) < 30
    assert await swept(desk, broker) == (30 - len(left), len(left) + 1, True)
    assert await swept(desk, broker) == (0, len(left) + 1, True), "nothing more to take out"
    assert [message.message_id for message in await broker.take(QUEUE)] == [*left, "m1"]


async def test_what_died_again_keeps_its_new_copy_and_loses_the_old_one(desk: Desk, broker: Broker) -> None:
    await desk.settled(DEAD, 1)
    await published(desk, broker)
    await desk.resolve(Action.RETRY, "m1")
    await desk.settle(AGAIN, 1)
    (second,) = await published(desk, broker)
    assert await swept(desk, broker) == (1, 1, True)
    (kept,) = await broker.take(QUEUE)
    assert (kept.headers["x-outbox-death"], kept.headers["x-outbox-reason"]) == (2, "again")
    assert kept.headers["x-outbox-delivery"] == second.id


@pytest.mark.parametrize("is_swept_before", [True, False])
async def test_a_copy_that_comes_after_its_delivery_was_resolved_is_noted_again(
    desk: Desk, is_swept_before: bool
) -> None:
    """The publisher was frozen between reading and sending."""
    await desk.settled(DEAD, 1)
    (letter,) = await desk.inbox.session.dead_letters("me", 10)
    await desk.resolve(Action.SKIP, "m1")
    (note,) = await desk.inbox.session.outdated_copies("me", 10)
    assert (note.delivery_id, note.death) == (letter.id, 1)
    if is_swept_before:
        await desk.inbox.session.forget_copies([note])
    await desk.inbox.session.dead_letters_published([letter])
    # A walk that began before does not know of it, when it ends.
    await desk.inbox.session.forget_copies([note])
    (again,) = await desk.inbox.session.outdated_copies("me", 10)
    assert (again.delivery_id, again.death) == (letter.id, 1)
    await desk.inbox.session.forget_copies([again])
    assert await desk.inbox.session.outdated_copies("me", 10) == []
    await desk.inbox.session.dead_letters_published([letter])
    assert await desk.inbox.session.outdated_copies("somebody else", 10) == [], "one at a time walks through a queue"


async def test_noting_copies_and_resolving_the_same_deliveries_never_wait_for_each_other_in_a_circle(
    desk: Desk, database: Database
) -> None:
    await desk.settled(DEAD, *range(1, 9))
    letters = await desk.inbox.session.dead_letters("me", 10)
    async with database.connection() as holder, database.connection() as noter, holder.transaction():
        await holder.execute("select from inbox.lane where lane = (select max(lane) from inbox.delivery) for update")
        await noter.execute("set lock_timeout = '50ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await noter.execute(
                "select inbox.dead_letters_published($1, $2)", [one.id for one in letters], [1] * len(letters)
            )


async def test_a_delivery_is_not_forgotten_while_a_copy_of_it_may_be_among_the_dead_letters(desk: Desk) -> None:
    await desk.settled(DEAD, 1, 2)
    await desk.resolve(Action.SKIP, "m1", "m2")
    (number,) = await desk.ids("m1")
    notes = await desk.inbox.session.outdated_copies("me", 10)
    await desk.inbox.session.forget_copies([note for note in notes if note.delivery_id == number])
    await desk.inbox.database.value(
        "update inbox.delivery set settled_at = '2020-01-01', accepted_at = '2020-01-01' returning 1"
    )
    assert await desk.inbox.database.value("select pruned from inbox.prune(60, 0, 100)") == 1
    assert await desk.inbox.states() == {"m2": "skipped"}


async def test_a_missing_permission_to_take_copies_out_is_told_and_holds_up_no_other_dead_letter(
    desk: Desk, database: Database, broker: Broker
) -> None:
    await desk.settled(DEAD, 1)
    await published(desk, broker)
    await desk.resolve(Action.SKIP, "m1")
    told: list[Lifecycle] = []
    ownership, stop = Ownership("test"), Stop()
    ownership.owner = "me"
    route = FlowRoute(FLOW, ["order.confirmed"])
    rabbit = RabbitBroker(broker.server, [route], source="/", name="test", report=told.append)
    async with rabbit_user(broker, read="^flow") as url, asyncio.TaskGroup() as group:
        queue = DeadQueue(RabbitServer(url), FLOW)
        service = DeadLetterPublisher(FLOW, InboxStore(database.server), rabbit, queue, ownership, told.append)
        group.create_task(service.run(stop, Pulse()))

        async def heard() -> bool:
            return any(isinstance(event, CopiesStay) for event in told)

        await until(heard, what="the refusal is told")
        await desk.settled(DEAD, 2)

        async def published_too() -> bool:
            return await broker.depth(QUEUE) == 2

        await until(published_too, what="the next dead letter has its copy")
        stop.set()
    (refused,) = [event for event in told if isinstance(event, CopiesStay)]
    assert f"dead.{FLOW}" in refused.reason


async def _holds(broker: Broker, messages: int) -> None:
    async def look() -> bool:
        # The queue is not there before a process of ours has declared it.
        with suppress(ChannelNotFoundEntity):
            return await broker.depth(f"dead.{whole.FLOW}") == messages
        return False

    await until(look, what=f"dead.{whole.FLOW} holds {messages}")


async def test_a_running_consumer_takes_the_copy_out_when_a_person_has_resolved_the_delivery(
    integration: Integration, tmp_path: Path
) -> None:
    verbs = Verbs(tmp_path, integration.database.url)
    integration.crm.add_script(Script(order_ref="SO-1", fault="reject_422", times=2))
    integration.crm.add_script(Script(order_ref="SO-2", fault="reject_422", times=1))
    async with running(integration.settings()):
        poison = await integration.emit("SO-1", 1, customer="C-1")
        behind = await integration.emit("SO-3", 2, customer="C-1")
        other = await integration.emit("SO-2", 1, customer="C-2")
        await _holds(integration.broker, 2)
        assert (await verbs("dead", "retry", other)).code == 0
        await integration.in_state(other, "applied")
        assert (await verbs("dead", "retry", poison)).code == 0

        async def died_again() -> bool:
            row = await integration.delivery(poison)
            return row is not None and row["deaths"] == 2 and row["dead_published_at"] is not None

        await until(died_again, what="it was refused again")
        await _holds(integration.broker, 1)
        assert (await verbs("dead", "skip", poison, "--why", "test")).code == 0
        await integration.in_state(behind, "applied")
        await _holds(integration.broker, 0)
    assert integration.effects() == ["SO-2", "SO-3"]
    keys = [line.idempotency_key for line in integration.crm.ledger.lines]
    assert keys == [f"{whole.FLOW}-{other}-1", f"{whole.FLOW}-{behind}"]


async def _move_back(broker: Broker, how: str) -> None:
    """Take the copy and send it twice, as people do: by a shovel or a client, or with the management's own pages."""
    source, target = f"dead.{whole.FLOW}", f"flow.{whole.FLOW}"
    if how == "client":
        (copy,) = await broker.take(source)
        async with broker.channel() as channel:
            for _ in range(2):
                await channel.default_exchange.publish(copy, target)
        return
    url = management_of(broker)
    asked = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}
    answer = await manage(url, "POST", f"/api/queues/{broker.vhost}/{source}/get", asked)
    assert isinstance(answer, list)
    (taken,) = answer
    parts = {name: taken[name] for name in ("payload", "payload_encoding", "properties")}
    for _ in range(2):
        await manage(url, "POST", f"/api/exchanges/{broker.vhost}/amq.default/publish", parts | {"routing_key": target})


@pytest.mark.parametrize("how", ["client", "management"])
async def test_a_dead_letter_moved_back_with_the_brokers_own_tools_is_tried_again(
    integration: Integration, how: str
) -> None:
    integration.crm.add_script(Script(order_ref="SO-1", fault="reject_422", times=1))
    async with running(integration.settings()):
        event = await integration.emit("SO-1")
        await _holds(integration.broker, 1)
        await _move_back(integration.broker, how)
        row = await integration.in_state(event, "applied")

        async def counted() -> bool:
            delivery = await integration.delivery(event)
            return delivery is not None and delivery["copies"] == 3

        await until(counted, what="the second one is a duplicate")
    audit = await integration.database.rows(
        "select action, who from inbox.resolution where delivery_id = $1", row["id"]
    )
    assert [tuple(line) for line in audit] == [("redrive", "rabbitmq")]
    assert integration.effects() == ["SO-1"]
