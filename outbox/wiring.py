"""What settings say, as the rooms below take it: where the database is, and what is to be there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adapters.registry import ADAPTERS
from outbox.config.settings import Flow, Settings
from outbox.model.errors import Misconfigured
from outbox.model.lanes import Lane, lanes_of
from outbox.model.partitions import Retention
from outbox.postgres.connection import PostgresServer

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


def retention(settings: Settings) -> Retention:
    """Return how long published events stay."""
    chosen = settings.retention
    return Retention(chosen.keep, chosen.partition_every, chosen.ahead)


def check_flows(settings: Settings) -> None:
    """Refuse settings under which every message of a type would become a dead letter.

    Raises:
        Misconfigured: with every flow and event type that its adapter has no operation for.
    """
    lost = [
        f"flows.{name}.events: {event_type} has no operation in flows.{name}.adapter"
        for name, flow in settings.flows.items()
        for event_type in flow.topics()
        if "*" not in event_type and "#" not in event_type and not _has_operation(flow, event_type)
    ]
    if lost:
        raise Misconfigured("\n".join(lost), "add the operations, or take the events out of the flow")


def adapter_notes(settings: Settings) -> dict[str, Sequence[str]]:
    """Return what the adapter's settings of each flow take on trust."""
    return {name: ADAPTERS[flow.adapter.use].notes(flow.adapter.settings) for name, flow in settings.flows.items()}


def _has_operation(flow: Flow, event_type: str) -> bool:
    return ADAPTERS[flow.adapter.use].supports(flow.adapter.settings, event_type)
