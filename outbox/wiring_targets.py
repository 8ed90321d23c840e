"""From the settings to the adapters of the flows."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.build import build
from adapters.http_target import HttpTarget
from outbox.config.settings import Flow, Settings
from outbox.model.adapter import Adapter


def targets_of(settings: Settings, known: Mapping[str, HttpTarget]) -> dict[str, HttpTarget]:
    """Return the target of each connection: one that is known where its settings are the same. Nothing is opened."""
    return {
        name: known[name] if name in known and known[name].connection == connection else HttpTarget(connection)
        for name, connection in settings.connections.items()
    }


def adapter_of(flow: Flow, targets: Mapping[str, HttpTarget]) -> Adapter:
    """Return a flow's adapter. Flows of one connection share its pool, limit and login."""
    return build(flow.adapter.settings, targets[flow.adapter.connection])


def adapters_of(settings: Settings) -> dict[str, Adapter]:
    """Return the adapter of each flow; nothing is opened."""
    targets = targets_of(settings, {})
    return {name: adapter_of(flow, targets) for name, flow in settings.flows.items()}
