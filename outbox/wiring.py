"""What settings say, as the rooms below take it: where the servers are, and what is to be there."""

from __future__ import annotations

import math
from dataclasses import replace

from outbox.config.settings import Settings
from outbox.model.lanes import Lane, lanes_of
from outbox.model.partitions import Retention
from outbox.postgres.connection import PostgresServer
from outbox.rabbitmq.connection import RabbitServer
from outbox.rabbitmq.desired import FlowRoute, Mode
from outbox.rabbitmq.management import ManagementServer
from outbox.rabbitmq.tls import Tls

STREAM = "outbox.event"


def lanes(settings: Settings) -> tuple[Lane, ...]:
    """Return the lanes that the relay is set to."""
    return lanes_of(STREAM, settings.relay.lanes)


def postgres_server(settings: Settings, *, name: str) -> PostgresServer:
    """Return where the database is."""
    return PostgresServer(
        settings.postgres.url.get_secret_value(),
        settings.postgres.connect_timeout,
        settings.postgres.statement_timeout,
        name,
    )


def direct_server(settings: Settings, *, name: str) -> PostgresServer:
    """Return the way to the database past a pooler, where there is one: for what needs a session of its own."""
    server = postgres_server(settings, name=name)
    url = settings.postgres.direct_url
    return server if url is None else replace(server, url=url.get_secret_value(), setting="postgres.direct_url")


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


def management_server(settings: Settings) -> ManagementServer | None:
    """Return where the management API is, if the settings say so."""
    url = settings.rabbitmq.management_url
    return None if url is None else ManagementServer.beside(rabbit_server(settings), url.get_secret_value())


def retention(settings: Settings) -> Retention:
    """Return how long published events stay."""
    chosen = settings.retention
    return Retention(chosen.keep, chosen.partition_every, chosen.ahead)


def routes(settings: Settings) -> tuple[FlowRoute, ...]:
    """Return which events reach which flow."""
    return tuple(FlowRoute(name, flow.events) for name, flow in settings.flows.items())


def routes_of(settings: Settings, flow: str | None) -> tuple[FlowRoute, ...]:
    """Return what a process sees to: everything where it declares, else what it touches itself."""
    if Mode(settings.rabbitmq.topology) is Mode.ARGUMENTS:
        return routes(settings)
    return tuple(route for route in routes(settings) if route.flow == flow)
