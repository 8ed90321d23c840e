"""What the restore guard has to tell, and the look at the topology; part of the union in `outbox.model.lifecycle`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FailoverSurvived:
    """The database is on a new timeline, and every event that is remembered as published exists there."""

    stream: str
    timeline_before: str
    verified_events: int


@dataclass(frozen=True, slots=True)
class WitnessMissing:
    """The broker has no queue to remember in what was published: a loss is seen only while this relay lives."""

    server: str
    queue: str


@dataclass(frozen=True, slots=True)
class WitnessOfAnother:
    """The broker remembers what another outbox has published: ignored, and replaced."""

    server: str
    origin: str


@dataclass(frozen=True, slots=True)
class TopologyUnseen:
    """The broker does not say whether something that we need is there."""

    thing: str
    reason: str


GuardEvents = FailoverSurvived | TopologyUnseen | WitnessMissing | WitnessOfAnother
