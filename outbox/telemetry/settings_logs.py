"""What becomes of settings that are read again, as log lines."""

from __future__ import annotations

from typing import assert_never

from structlog.typing import FilteringBoundLogger

from outbox.model import settings_events
from outbox.model.settings_events import SettingsEvents

_STAYS = "its queue goes on taking what comes, and its deliveries wait, until the flow is back or both are removed"


def write_settings(log: FilteringBoundLogger, event: SettingsEvents) -> None:
    """Write one event."""
    match event:
        case settings_events.SettingsInEffect(settings_hash, added, changed, removed):
            names = {"added": list(added), "changed": list(changed), "removed": list(removed)}
            log.info("settings in effect", settings_hash=settings_hash, **names)
        case settings_events.SettingsUnchanged(settings_hash):
            log.info("settings read again, nothing has changed", settings_hash=settings_hash)
        case settings_events.SettingsRefused(settings_hash, reason):
            log.error("new settings refused, those before stay in effect", settings_hash=settings_hash, reason=reason)
        case settings_events.FlowStarted(flow):
            log.info("flow started", flow=flow)
        case settings_events.FlowStopped(flow, is_removed, is_drained):
            name, stays = ("flow removed", {"stays": _STAYS}) if is_removed else ("flow stopped", {})
            write = log.info if is_drained and not is_removed else log.warning
            write(name, flow=flow, is_removed=is_removed, is_drained=is_drained, **stays)
        case _:
            assert_never(event)
