"""What processes that share the lanes have to tell; part of the union in `outbox.model.lifecycle`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LanesShared:
    """Which lanes this process leads or is about to, of how many, and how many processes share them, has changed."""

    stream: str
    held: tuple[int, ...]
    lanes: int
    processes: int


@dataclass(frozen=True, slots=True)
class LeadGivenUp:
    """This process leads the lane no more, in order: the cursor is saved and another may take the lead at once."""

    stream: str


LaneEvents = LanesShared | LeadGivenUp
