"""The topology on a broker over AMQP: declared where that is ours to do, else only looked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from enum import Enum

from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq.exceptions import ChannelAccessRefused

from outbox.model.errors import Misconfigured
from outbox.model.guard_events import TopologyUnseen
from outbox.model.lifecycle import Report
from outbox.rabbitmq.connection import RabbitServer, open_channel
from outbox.rabbitmq.desired import (
    DEAD,
    EVENTS,
    KEPT_DELIVERY_LIMIT,
    REJECTED,
    UNROUTED,
    WITNESS,
    ExchangeSpec,
    FlowRoute,
    Mode,
    QueueSpec,
    dead_queue,
    exchanges,
    flow_queue,
    queues,
)
from outbox.rabbitmq.errors import rabbitmq_errors

__all__ = [
    "DEAD",
    "EVENTS",
    "KEPT_DELIVERY_LIMIT",
    "REJECTED",
    "UNROUTED",
    "WITNESS",
    "FlowRoute",
    "Mode",
    "dead_queue",
    "declare",
    "ensure",
    "exchanges",
    "flow_queue",
    "queues",
]

_DECLARE_SECONDS = 30.0
NEXT_STEPS = {
    Mode.POLICIES: 'run "outbox topology apply" with a user who may configure queues and set policies',
    Mode.PASSIVE: 'give "outbox topology print --definitions" to whoever owns the broker, to be imported',
}

# An exchange or a queue: kind and name.
Thing = tuple[str, str]


class Presence(Enum):
    """What looking for something has shown."""

    THERE = "there"
    MISSING = "missing"
    REFUSED = "refused"


async def ensure(
    connection: AbstractConnection, server: RabbitServer, flows: Sequence[FlowRoute], report: Report, *, lanes: int = 1
) -> None:
    """Make sure, when a process starts, that everything is there; safe to repeat.

    In the mode `arguments` it is declared. Elsewhere nothing is: AMQP can neither set nor see a policy, and a queue
    that was made before its policy would drop what it should keep.

    Args:
        connection: to the broker.
        server: the broker, with the mode.
        flows: in the mode `arguments` all of them; elsewhere those that this process consumes, and none for a relay.
        report: is told what could not be looked at.
        lanes: how many the relay has.

    Raises:
        Misconfigured: something of that name exists with other settings; or it is missing and not ours to declare.
        AccessRefused: the user may not declare it.
        Unavailable: the broker went away.
    """
    if server.topology is Mode.ARGUMENTS:
        await declare(connection, str(server), flows, lanes=lanes)
        return
    with rabbitmq_errors(str(server)):
        async with asyncio.timeout(_DECLARE_SECONDS):
            await _expect(connection, server, needed(flows), report)


async def declare(connection: AbstractConnection, server: str, flows: Sequence[FlowRoute], *, lanes: int = 1) -> None:
    """Declare everything with arguments, so that a fresh broker is safe at once; safe to repeat.

    Raises:
        Misconfigured: something of that name exists with other settings.
        AccessRefused: the user may not declare it.
        Unavailable: the broker went away.
    """
    with rabbitmq_errors(server):
        async with asyncio.timeout(_DECLARE_SECONDS):
            channel = await open_channel(connection, server)
            for exchange in exchanges():
                await declare_exchange(channel, exchange, Mode.ARGUMENTS)
            for queue in queues(flows, lanes):
                await declare_queue(channel, queue, Mode.ARGUMENTS)
            await channel.close()


async def declare_exchange(channel: AbstractChannel, exchange: ExchangeSpec, mode: Mode) -> None:
    """Declare one exchange."""
    await channel.declare_exchange(exchange.name, exchange.kind, durable=True, arguments={**exchange.arguments(mode)})


async def declare_queue(channel: AbstractChannel, queue: QueueSpec, mode: Mode) -> None:
    """Declare one queue with its bindings; those that are there besides are left alone."""
    declared = await channel.declare_queue(queue.name, durable=True, arguments={**queue.arguments(mode)})
    for routing_key in queue.routing_keys:
        await declared.bind(queue.exchange, routing_key)


async def look(connection: AbstractConnection, server: str, things: Iterable[Thing]) -> dict[Thing, Presence]:
    """Look for exchanges and queues by passive declares, which change nothing and need no permission to configure.

    RabbitMQ 4.3.0 alone refuses them to users without it; that says nothing about the thing.
    """
    seen: dict[Thing, Presence] = {}
    channel: AbstractChannel | None = None
    for kind, name in things:
        channel = channel or await open_channel(connection, server, publisher_confirms=False)
        try:
            if kind == "queue":
                await channel.declare_queue(name, passive=True)
            else:
                await channel.declare_exchange(name, passive=True)
        except ChannelNotFoundEntity:
            # The broker closes the channel with it.
            seen[kind, name], channel = Presence.MISSING, None
        except ChannelAccessRefused:
            seen[kind, name], channel = Presence.REFUSED, None
        else:
            seen[kind, name] = Presence.THERE
    if channel is not None:
        await channel.close()
    return seen


def needed(flows: Sequence[FlowRoute]) -> list[Thing]:
    """Return what a process touches itself: a consumer of these flows, or a relay when there are none."""
    if not flows:
        # Not the witness, which publishing works without: whoever asks it tells what is missing.
        return [("exchange", EVENTS), ("exchange", DEAD), ("queue", UNROUTED), ("queue", REJECTED)]
    return [
        ("exchange", DEAD),
        *(("queue", name) for route in flows for name in (flow_queue(route.flow), dead_queue(route.flow))),
    ]


async def _expect(connection: AbstractConnection, server: RabbitServer, things: list[Thing], report: Report) -> None:
    seen = await look(connection, str(server), things)
    missing = [f"{kind} {name}" for (kind, name), presence in seen.items() if presence is Presence.MISSING]
    if missing:
        raise Misconfigured(f"{server} does not have: {', '.join(missing)}", NEXT_STEPS[server.topology])
    for (kind, name), presence in seen.items():
        if presence is Presence.REFUSED:
            report(TopologyUnseen(f"{kind} {name}", "the broker refuses a passive declare to this user"))
