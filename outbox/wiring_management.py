"""What settings say of the broker's management API, apart from the rest: few verbs need its HTTP client."""

from __future__ import annotations

from outbox.config.settings import Settings
from outbox.rabbitmq.management import ManagementServer
from outbox.wiring_rabbitmq import rabbit_server


def management_server(settings: Settings) -> ManagementServer | None:
    """Return where the management API is, if the settings say so."""
    url = settings.rabbitmq.management_url
    return None if url is None else ManagementServer.beside(rabbit_server(settings), url.get_secret_value())
