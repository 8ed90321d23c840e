"""What a consumer's watchdog has to tell; part of the union in `outbox.model.lifecycle`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConsumerSilent:
    """Messages wait in the flow's queue and nobody gets any; the consumer begins anew."""

    flow: str
    ready: int
    silent_seconds: float


ConsumerEvents = ConsumerSilent
