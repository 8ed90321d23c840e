"""From the settings to the adapters of the flows."""

from __future__ import annotations

from adapters.build import build
from adapters.http_target import HttpTarget
from outbox.config.settings import Settings
from outbox.model.adapter import Adapter


def adapters_of(settings: Settings) -> dict[str, Adapter]:
    """Return the adapter of each flow; nothing is opened. Flows of one connection share its pool, limit and login."""
    targets = {name: HttpTarget(connection) for name, connection in settings.connections.items()}
    return {
        name: build(flow.adapter.settings, targets[flow.adapter.connection]) for name, flow in settings.flows.items()
    }
