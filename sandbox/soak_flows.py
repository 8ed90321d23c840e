"""The flows of the campaign: one for each way to recover from a call of unknown end, each with a CRM of its own.

All of them take every order, so each order must take effect once in each CRM.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LEASE_SECONDS = 3.0
TIMEOUT = "2s"
# The CRM takes effect after its client has given up.
SLOW_MS = 3000
# How long the way to the CRM holds what was sent.
LONGEST_STALL_SECONDS = 4.0
# How late a call may leave, its time, that of the way and that of the CRM, and then some.
SETTLE = "15s"
# Shorter than many a doubt, so that keys are forgotten while calls are in doubt.
SHORT_WINDOW_SECONDS = 20.0
_SHORT_MARGIN = "10s"
_LONG_WINDOW_SECONDS = 86_400.0

_LOOK_UP: Mapping[str, Any] = {
    "path": "/deals",
    "query": {"external_ref": "{reference}"},
    "records": "deals",
    "external_id": "id",
}
_DEAL_ID = {"external_id": "deal.id"}
_MAPPING = [
    {"source_field": "order_ref", "target_field": "external_ref", "required": True},
    {"source_field": "customer", "target_field": "customer", "required": True},
    {"source_field": "revision", "target_field": "revision", "required": True},
    {"source_field": "amount", "target_field": "amount", "required": True},
    {"source_field": "currency", "target_field": "currency", "default": "EUR"},
]


@dataclass(frozen=True, slots=True)
class SoakFlow:
    """One flow. ``parks``: its target offers nothing, so what is in doubt waits for a person."""

    name: str
    operation: Mapping[str, Any]
    idempotency: Mapping[str, Any] | None = None
    statuses: Mapping[str, str] = field(default_factory=dict)
    window_seconds: float = _LONG_WINDOW_SECONDS
    parks: bool = False

    def settings(self) -> dict[str, Any]:
        """Return the flow's part of the sidecar's settings."""
        adapter: dict[str, Any] = {
            "use": "rest",
            "connection": self.name,
            "operations": {"order.confirmed": {"method": "POST", **self.operation}},
            "statuses": dict(self.statuses),
        }
        if self.idempotency is not None:
            adapter["idempotency"] = dict(self.idempotency)
        return {
            "description": f"Orders become deals; recovery: {self.name}",
            "events": ["order.confirmed"],
            "adapter": adapter,
            "mapping": _MAPPING,
            # Nothing may die of tries that are used up: every order can be applied in the end.
            "retry": {"attempts": 1000, "first": "100ms", "max": "1s"},
            "circuit": {"first": "500ms", "max": "3s"},
        }


FLOWS: tuple[SoakFlow, ...] = (
    SoakFlow("idempotency-key", {"path": "/deals", **_DEAL_ID}, idempotency={"window": "24h"}),
    SoakFlow(
        "short-window",
        {"path": "/deals", "reference": "external_ref", "settle": SETTLE, "look_up": _LOOK_UP, **_DEAL_ID},
        idempotency={"window": f"{SHORT_WINDOW_SECONDS:g}s", "margin": _SHORT_MARGIN},
        window_seconds=SHORT_WINDOW_SECONDS,
    ),
    SoakFlow(
        "upsert",
        {"method": "PUT", "path": "/upserts/{external_ref}", "recovery": "upsert", "settle": SETTLE, **_DEAL_ID},
    ),
    SoakFlow(
        "named-create",
        {
            "path": "/named/deals",
            "recovery": "named_create",
            "reference": "external_ref",
            "settle": SETTLE,
            **_DEAL_ID,
        },
        statuses={"409": "already_applied"},
    ),
    SoakFlow(
        "look-up",
        {
            "path": "/unkeyed/deals",
            "recovery": "look_up",
            "reference": "external_ref",
            "settle": SETTLE,
            "look_up": _LOOK_UP,
            **_DEAL_ID,
        },
    ),
    SoakFlow(
        "job",
        {
            "path": "/jobs",
            "recovery": "job",
            "job": {"status": "state", "applied": ["done"], "external_id": "result.id", "poll": "100ms"},
        },
        idempotency={"window": "24h"},
    ),
    SoakFlow("none", {"path": "/unkeyed/deals", "recovery": "none", **_DEAL_ID}, parks=True),
)


def flows_named(names: Sequence[str]) -> tuple[SoakFlow, ...]:
    """Return these flows, all without names.

    Raises:
        KeyError: there is no such flow.
    """
    known = {flow.name: flow for flow in FLOWS}
    return tuple(known[name] for name in names) if names else FLOWS


def sidecar_settings(flows: Sequence[SoakFlow], crm_urls: Mapping[str, str], token: str) -> dict[str, Any]:
    """Return the settings of relay and consumer; where their servers are, the environment says."""
    return {
        "http": {"port": 0},
        "log": {"format": "json", "level": "info"},
        # Prompt where the defaults are gentle, so that more happens in a minute.
        "inbox": {"lease": f"{LEASE_SECONDS:g}s", "poll": "50ms", "concurrency": 8},
        "relay": {"page_events": 50, "save_every": "200ms", "standby_poll": "250ms"},
        "connections": {
            flow.name: {"base_url": crm_urls[flow.name], "bearer": token, "timeout": TIMEOUT} for flow in flows
        },
        "flows": {flow.name: flow.settings() for flow in flows},
    }
