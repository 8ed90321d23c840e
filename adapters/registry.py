"""Which adapters exist: the words that a flow's ``adapter.use`` may name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydantic import BaseModel

from adapters import rest, webhook
from adapters.http_target import HttpTarget
from adapters.rest_settings import RestSettings
from adapters.webhook_settings import WebhookSettings
from outbox.model.adapter import Adapter
from outbox.model.connection import Connection


@dataclass(frozen=True, slots=True)
class AdapterKind:
    """How an adapter is configured and made.

    ``settings`` checks a flow's ``adapter:`` block without ``use`` and ``connection``; its ``DEFAULT_RETRY``, if it has
    one, is the flow's ``retry:`` where that is not given. ``build`` takes an instance of it and the target, which
    flows share; it opens nothing.
    """

    settings: type[BaseModel]
    build: Callable[..., Adapter]

    def create(self, settings: Mapping[str, object], connection: Connection) -> Adapter:
        """Check raw settings and make the adapter, with a target of its own.

        Raises:
            pydantic.ValidationError: the settings are wrong.
        """
        return self.build(self.settings.model_validate(settings), HttpTarget(connection))


ADAPTERS: Mapping[str, AdapterKind] = MappingProxyType(
    {
        "rest": AdapterKind(RestSettings, rest.build),
        "webhook": AdapterKind(WebhookSettings, webhook.build),
    }
)
