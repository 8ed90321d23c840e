"""What a consumer has to tell of its queue; part of the union in `outbox.model.lifecycle`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConsumerSilent:
    """Messages wait in the flow's queue and nobody gets any; the consumer begins anew."""

    flow: str
    ready: int
    silent_seconds: float


@dataclass(frozen=True, slots=True)
class IntakePaused:
    """So much waits for its calls that the flow's queue keeps the rest."""

    flow: str
    waiting: int


@dataclass(frozen=True, slots=True)
class IntakeResumed:
    """There is room for more."""

    flow: str
    waiting: int


ConsumerEvents = ConsumerSilent | IntakePaused | IntakeResumed
