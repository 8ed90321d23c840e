"""Which adapters exist: the words that a flow's ``adapter.use`` may name. What they need to run is in `build`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pydantic import BaseModel

from adapters.rest_settings import RestSettings
from adapters.webhook_settings import WebhookSettings
from outbox.model.totals import Ability


@dataclass(frozen=True, slots=True)
class AdapterKind:
    """How an adapter is configured.

    ``settings`` checks a flow's ``adapter:`` block without ``use`` and ``connection``; its ``DEFAULT_RETRY``, if it has
    one, is the flow's ``retry:`` where that is not given. ``supports`` takes an instance of it and an event type, and
    says whether there is an operation for it. ``notes`` takes an instance and says what is allowed and better known;
    ``tells_totals`` what the target can tell of a window.
    """

    settings: type[BaseModel]
    supports: Callable[..., bool]
    notes: Callable[..., Sequence[str]]
    tells_totals: Callable[..., Ability | None]


ADAPTERS: Mapping[str, AdapterKind] = MappingProxyType(
    {
        "rest": AdapterKind(RestSettings, RestSettings.supports, RestSettings.notes, RestSettings.tells_totals),
        "webhook": AdapterKind(
            WebhookSettings, WebhookSettings.supports, WebhookSettings.notes, WebhookSettings.tells_totals
        ),
    }
)
