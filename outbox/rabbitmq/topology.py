"""What must exist on the broker, as a value, and declaring it.

Everything is given as declare arguments, so that a fresh broker is safe at once: quorum queues, an alternate exchange
for events that nobody has bound, a dead-letter exchange behind every queue that is consumed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aio_pika import ExchangeType
from aio_pika.abc import AbstractConnection

from outbox.rabbitmq.connection import open_channel
from outbox.rabbitmq.errors import rabbitmq_errors

EVENTS = "outbox.events"
UNROUTED = "outbox.unrouted"
DEAD = "outbox.dead"
REJECTED = "outbox.rejected"

# Our own attempts decide, in PostgreSQL. The limit is set all the same: without one, a requeued message goes to the
# back of the queue (RabbitMQ 3.10 to 3.13) or is dropped after 20 deliveries (4.0 and later).
_FLOW_DELIVERY_LIMIT = 1000
# People look at these queues with "get and requeue", which counts as a delivery.
KEPT_DELIVERY_LIMIT = 1_000_000_000
_DECLARE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class FlowRoute:
    """Which events reach a flow's queue; ``events`` are routing keys, with topic wildcards."""

    flow: str
    events: Sequence[str]


@dataclass(frozen=True, slots=True)
class ExchangeSpec:
    """An exchange to be declared durable."""

    name: str
    kind: ExchangeType
    arguments: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """A quorum queue to be declared, and where it is bound."""

    name: str
    exchange: str
    routing_keys: Sequence[str]
    arguments: Mapping[str, str | int | bool]


def flow_queue(flow: str) -> str:
    """Return the name of a flow's queue."""
    return f"flow.{flow}"


def dead_queue(flow: str) -> str:
    """Return the name of a flow's dead-letter queue."""
    return f"dead.{flow}"


def exchanges() -> tuple[ExchangeSpec, ...]:
    """Return the exchanges, in the order in which they must be declared."""
    return (
        ExchangeSpec(DEAD, ExchangeType.DIRECT),
        ExchangeSpec(UNROUTED, ExchangeType.FANOUT),
        ExchangeSpec(EVENTS, ExchangeType.TOPIC, {"alternate-exchange": UNROUTED}),
    )


def queues(flows: Sequence[FlowRoute]) -> tuple[QueueSpec, ...]:
    """Return the queues, in the order in which they must be declared: dead letters have a home before anything dies."""
    kept: dict[str, str | int | bool] = {"x-queue-type": "quorum", "x-delivery-limit": KEPT_DELIVERY_LIMIT}
    shared = (
        QueueSpec(REJECTED, DEAD, (REJECTED,), kept),
        QueueSpec(UNROUTED, UNROUTED, ("",), kept),
    )
    dead = tuple(QueueSpec(dead_queue(route.flow), DEAD, (route.flow,), kept) for route in flows)
    live = tuple(
        QueueSpec(
            flow_queue(route.flow),
            EVENTS,
            tuple(route.events),
            {
                "x-queue-type": "quorum",
                # One acceptor at a time keeps the order of the queue; the inbox spreads the work.
                "x-single-active-consumer": True,
                "x-delivery-limit": _FLOW_DELIVERY_LIMIT,
                "x-dead-letter-exchange": DEAD,
                "x-dead-letter-routing-key": route.flow,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            },
        )
        for route in flows
    )
    return shared + dead + live


async def declare(connection: AbstractConnection, server: str, flows: Sequence[FlowRoute]) -> None:
    """Declare everything; safe to repeat.

    Raises:
        Misconfigured: something of that name exists with other settings.
        AccessRefused: the user may not declare it.
        Unavailable: the broker went away.
    """
    with rabbitmq_errors(server):
        async with asyncio.timeout(_DECLARE_SECONDS):
            channel = await open_channel(connection, server)
            for exchange in exchanges():
                await channel.declare_exchange(
                    exchange.name, exchange.kind, durable=True, arguments=dict(exchange.arguments)
                )
            for queue in queues(flows):
                declared = await channel.declare_queue(queue.name, durable=True, arguments=dict(queue.arguments))
                for routing_key in queue.routing_keys:
                    await declared.bind(queue.exchange, routing_key)
            await channel.close()
