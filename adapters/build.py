"""Makes an adapter from its checked settings."""

from __future__ import annotations

from pydantic import BaseModel

from adapters.http_target import HttpTarget
from adapters.rest import RestAdapter
from adapters.rest_settings import RestSettings
from adapters.webhook import WebhookAdapter
from adapters.webhook_settings import WebhookSettings
from outbox.model.adapter import Adapter


def build(settings: BaseModel, target: HttpTarget) -> Adapter:
    """Return the adapter that these settings are for; it opens nothing. Flows share the target.

    Raises:
        TypeError: there is none.
    """
    match settings:
        case RestSettings():
            return RestAdapter(settings, target)
        case WebhookSettings():
            return WebhookAdapter(settings, target)
        case _:
            raise TypeError(f"no adapter takes {type(settings).__name__}")
