"""Which adapters exist: the words that a flow's ``adapter.use`` may name. What they need to run is in `build`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydantic import BaseModel

from adapters.rest_settings import RestSettings
from adapters.webhook_settings import WebhookSettings


@dataclass(frozen=True, slots=True)
class AdapterKind:
    """How an adapter is configured.

    ``settings`` checks a flow's ``adapter:`` block without ``use`` and ``connection``; its ``DEFAULT_RETRY``, if it has
    one, is the flow's ``retry:`` where that is not given. ``supports`` takes an instance of it and an event type, and
    says whether there is an operation for it.
    """

    settings: type[BaseModel]
    supports: Callable[..., bool]


ADAPTERS: Mapping[str, AdapterKind] = MappingProxyType(
    {
        "rest": AdapterKind(RestSettings, RestSettings.supports),
        "webhook": AdapterKind(WebhookSettings, WebhookSettings.supports),
    }
)
