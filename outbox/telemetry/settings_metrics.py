"""Which settings a process works by, and whether it has refused newer ones; named as others name the same."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge

from outbox.model import settings_events
from outbox.model.lifecycle import Lifecycle

_RESULTS = ("applied", "unchanged", "refused")


class SettingsMetrics:
    """Registers them, and follows what becomes of settings."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._is_good = Gauge(
            "outbox_config_last_reload_successful", "0 while newer settings are refused and those before stay.",
            registry=registry,
        )  # fmt: skip
        self._since = Gauge(
            "outbox_config_last_reload_success_timestamp_seconds", "When settings were last read and found right.",
            registry=registry,
        )  # fmt: skip
        self._hash = Gauge("outbox_config_info", "The settings in effect.", ["hash"], registry=registry)
        self._reloads = Counter(
            "outbox_config_reloads", "How often settings were read again.", ["result"], registry=registry
        )
        for result in _RESULTS:
            self._reloads.labels(result)
        self._is_first = True
        self._good()

    def __call__(self, event: Lifecycle) -> None:
        """Follow one event."""
        match event:
            case settings_events.SettingsInEffect(settings_hash):
                self._good()
                self._hash.clear()
                self._hash.labels(settings_hash).set(1)
                if not self._is_first:
                    self._reloads.labels("applied").inc()
                self._is_first = False
            case settings_events.SettingsUnchanged():
                self._good()
                self._reloads.labels("unchanged").inc()
            case settings_events.SettingsRefused():
                self._is_good.set(0)
                self._reloads.labels("refused").inc()
            case _:
                pass

    def _good(self) -> None:
        self._is_good.set(1)
        self._since.set(time.time())
