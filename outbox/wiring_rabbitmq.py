"""What settings say, as the rooms below take it: where the broker is, and which events go where."""

from __future__ import annotations

import math

from outbox.config.settings import Settings
from outbox.rabbitmq.connection import RabbitServer
from outbox.rabbitmq.desired import FlowRoute, Mode
from outbox.rabbitmq.tls import Tls


def rabbit_server(settings: Settings) -> RabbitServer:
    """Return where the broker is."""
    rabbitmq = settings.rabbitmq
    return RabbitServer(
        rabbitmq.url.get_secret_value(),
        # The protocol has whole seconds; a shorter one than asked for would cut healthy connections.
        math.ceil(rabbitmq.heartbeat),
        rabbitmq.connect_timeout,
        rabbitmq.confirm_timeout,
        None if rabbitmq.tls is None else Tls(**rabbitmq.tls.model_dump()),
        Mode(rabbitmq.topology),
    )


def routes(settings: Settings) -> tuple[FlowRoute, ...]:
    """Return which events reach which flow."""
    return tuple(FlowRoute(name, flow.topics()) for name, flow in settings.flows.items())


def routes_of(settings: Settings, flow: str | None) -> tuple[FlowRoute, ...]:
    """Return what a process sees to: everything where it declares, else what it touches itself."""
    if Mode(settings.rabbitmq.topology) is Mode.ARGUMENTS:
        return routes(settings)
    return tuple(route for route in routes(settings) if route.flow == flow)
