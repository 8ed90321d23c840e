"""What the relay's metrics say of what does not happen."""

from __future__ import annotations

import time

import pytest
from prometheus_client import CollectorRegistry

from outbox.model.lanes import lanes_of
from outbox.model.lifecycle import PartitionChanged, PartitionsSeen, ServiceWaiting
from outbox.telemetry.relay_metrics import RelayMetrics

STREAM = "outbox.event"


def test_the_age_of_upkeep_grows_from_the_start_until_a_round_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    registry = CollectorRegistry()
    metrics = RelayMetrics(registry, lanes_of(STREAM, 1))
    ages = []
    for event in (
        ServiceWaiting("partitions", "refused", 0.5, needs_a_person=True),
        PartitionChanged(STREAM, "event_p1", "created", 0),
        PartitionsSeen(STREAM, 3, 0.0, is_default_used=False),
        ServiceWaiting("partitions", "away", 0.5, needs_a_person=False),
    ):
        now += 3600.0
        metrics(event)
        ages.append(registry.get_sample_value("outbox_upkeep_age_seconds"))

    assert ages == [3600.0, 7200.0, 0.0, 3600.0]
