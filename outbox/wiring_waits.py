"""From the settings to what a flow's deliveries may wait for, and whom they may ask for it."""

from __future__ import annotations

from outbox.config.mapping import asked_flows
from outbox.config.settings import Settings
from outbox.flow.mapping import Mapping
from outbox.inbox.waits import WaitSettings
from outbox.model.creating import Creator
from outbox.model.replay import most_waiting, type_patterns


def waits_of(settings: Settings, name: str, mapping: Mapping) -> WaitSettings:
    """Return what the deliveries of a flow may wait for, by its mapping."""
    creators = {
        asked: Creator(asked, type_patterns(settings.flows[asked].topics()), settings.flows[asked].on_stale)
        for asked in asked_flows(settings.flows[name].mapping)
    }
    # As a replay, which leaves the other half to what comes by itself.
    return WaitSettings(mapping.may_wait(), creators, most_waiting(settings.inbox.max_waiting))
