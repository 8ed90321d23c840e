"""What must exist on the broker, as a pure value: exchanges, queues, bindings and policies, by mode and version.

Every queue is a quorum queue that never drops silently: a delivery limit of its own (without one, RabbitMQ 3.x puts a
requeued message at the back, and 4.x drops it after 20 deliveries), and a dead-letter exchange behind every queue that
is consumed. No value here differs by version but a policy's ``apply-to``: arguments are fixed when a queue is declared,
and one that changed with an upgrade would make the next declare fail. ``x-queue-mode`` and ``x-queue-version`` are
never sent: RabbitMQ 4.3 refuses them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from aio_pika import ExchangeType

from outbox.rabbitmq.version import BrokerVersion

EVENTS = "outbox.events"
UNROUTED = "outbox.unrouted"
DEAD = "outbox.dead"
REJECTED = "outbox.rejected"
WITNESS = "outbox.witness"

# Our own attempts decide, in PostgreSQL. The limit is set all the same, for the reasons above.
_FLOW_DELIVERY_LIMIT = 1000
# People look at these queues with "get and requeue", which counts as a delivery. Not -1: before 4.0 that is an error.
KEPT_DELIVERY_LIMIT = 1_000_000_000
# Above what general policies of a broker usually have; of two with the same priority either may win.
_POLICY_PRIORITY = 100

Value = str | int | bool


class Mode(StrEnum):
    """Where settings of queues and exchanges come from, and who puts them there."""

    ARGUMENTS = "arguments"
    POLICIES = "policies"
    PASSIVE = "passive"


@dataclass(frozen=True, slots=True)
class FlowRoute:
    """Which events reach a flow's queue; ``events`` are routing keys, with topic wildcards."""

    flow: str
    events: Sequence[str]


@dataclass(frozen=True, slots=True)
class ExchangeSpec:
    """A durable exchange; ``settings`` are what a policy could say as well."""

    name: str
    kind: ExchangeType
    settings: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))

    def arguments(self, mode: Mode) -> dict[str, Value]:
        """Return its declare arguments."""
        return dict(self.settings) if mode is Mode.ARGUMENTS else {}


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """A quorum queue and where it is bound. ``fixed`` can only be an argument, ``settings`` could be a policy's."""

    name: str
    exchange: str
    routing_keys: Sequence[str]
    fixed: Mapping[str, Value]
    settings: Mapping[str, Value]

    def arguments(self, mode: Mode) -> dict[str, Value]:
        """Return its declare arguments."""
        settings = self.settings if mode is Mode.ARGUMENTS else {}
        return {**self.fixed, **{f"x-{name}": value for name, value in settings.items()}}


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """A policy. Only one applies to a queue, so everything that a family of queues needs is in one."""

    name: str
    pattern: str
    apply_to: str
    definition: Mapping[str, Value]
    priority: int = _POLICY_PRIORITY

    def body(self) -> dict[str, object]:
        """Return it as the management API takes it."""
        return {
            "pattern": self.pattern,
            "apply-to": self.apply_to,
            "definition": dict(self.definition),
            "priority": self.priority,
        }

    def is_for(self, name: str) -> bool:
        """Say whether it is meant for a queue or exchange of this name."""
        return re.search(self.pattern, name) is not None


@dataclass(frozen=True, slots=True)
class Desired:
    """Everything, in the order in which it must be made: policies, exchanges, queues, bindings."""

    mode: Mode
    policies: Sequence[PolicySpec]
    exchanges: Sequence[ExchangeSpec]
    queues: Sequence[QueueSpec]
    flows: Sequence[FlowRoute]

    def bindings(self) -> list[tuple[str, str, str]]:
        """Return source, queue and routing key of every binding."""
        return [(queue.exchange, queue.name, key) for queue in self.queues for key in queue.routing_keys]


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


def witness_queue(lane: int) -> str:
    """Return the name of the queue in which a lane of the relay remembers."""
    return WITNESS if lane == 0 else f"{WITNESS}.{lane}"


def queues(flows: Sequence[FlowRoute], lanes: int = 1) -> tuple[QueueSpec, ...]:
    """Return the queues, in the order in which they must be declared: dead letters have a home before anything dies."""
    shared = (_kept(REJECTED, DEAD, REJECTED), _kept(UNROUTED, UNROUTED, ""), *map(_witness, range(lanes)))
    dead = tuple(_kept(dead_queue(route.flow), DEAD, route.flow) for route in flows)
    return shared + dead + tuple(_live(route) for route in flows)


def desired(flows: Sequence[FlowRoute], mode: Mode, version: BrokerVersion, lanes: int = 1) -> Desired:
    """Return what these flows, and a relay with so many lanes, need on a broker of this version.

    In passive mode this is what whoever owns the broker is asked for: with policies, as RabbitMQ recommends.
    """
    policies = () if mode is Mode.ARGUMENTS else _policies(flows, version)
    return Desired(mode, policies, exchanges(), queues(flows, lanes), tuple(flows))


def _policies(flows: Sequence[FlowRoute], version: BrokerVersion) -> tuple[PolicySpec, ...]:
    (events,) = (exchange for exchange in exchanges() if exchange.name == EVENTS)
    # By shape and not by name: the dead letters of a flow that is gone from the settings must keep their limit.
    kept = PolicySpec(
        "outbox-kept",
        r"^(dead\.[a-z][a-z0-9-]*|outbox\.(rejected|unrouted))$",
        version.policy_target,
        {"delivery-limit": KEPT_DELIVERY_LIMIT},
    )
    # One for each flow: the key that leads a dead letter to dead.<flow> is part of it, no policy can make it of the
    # queue's name, and as an argument RabbitMQ takes it only beside the exchange, which then no policy could change.
    live = tuple(
        PolicySpec(
            f"outbox-flow-{route.flow}",
            rf"^flow\.{route.flow}$",
            version.policy_target,
            _live(route).settings,
        )
        for route in flows
    )
    witness = PolicySpec("outbox-witness", r"^outbox\.witness(\.[0-9]+)?$", version.policy_target, _witness(0).settings)
    return (PolicySpec("outbox-events", r"^outbox\.events$", "exchanges", events.settings), kept, witness, *live)


def _kept(name: str, exchange: str, routing_key: str) -> QueueSpec:
    return QueueSpec(
        name, exchange, (routing_key,), {"x-queue-type": "quorum"}, {"delivery-limit": KEPT_DELIVERY_LIMIT}
    )


def _witness(lane: int) -> QueueSpec:
    return QueueSpec(
        witness_queue(lane),
        DEAD,
        (witness_queue(lane),),
        {"x-queue-type": "quorum"},
        # Every new message takes the place of the last, and every look is a delivery.
        {"delivery-limit": KEPT_DELIVERY_LIMIT, "max-length": 1, "overflow": "drop-head"},
    )


def _live(route: FlowRoute) -> QueueSpec:
    return QueueSpec(
        flow_queue(route.flow),
        EVENTS,
        tuple(route.events),
        # One acceptor at a time keeps the order of the queue; the inbox spreads the work.
        {"x-queue-type": "quorum", "x-single-active-consumer": True},
        {
            "delivery-limit": _FLOW_DELIVERY_LIMIT,
            "dead-letter-exchange": DEAD,
            "dead-letter-routing-key": route.flow,
            # Without reject-publish RabbitMQ silently falls back to dead-lettering that may lose messages.
            "dead-letter-strategy": "at-least-once",
            "overflow": "reject-publish",
        },
    )
