"""What a change of the number of lanes would do, and who shares the lanes: facts as values. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LanesPlan:
    """What was found. ``repeated``: events that would be on the wire again, with the same message ids."""

    lanes_before: int
    lanes_after: int
    repeated: int
    first_repeated: int | None
    last_repeated: int | None
    leaders: int
    unpassed: int

    def is_a_change(self) -> bool:
        """Say whether there would be another number of lanes."""
        return self.lanes_before != self.lanes_after


@dataclass(frozen=True, slots=True)
class LanesSet:
    """What was done. ``opens_in_seconds``: after this time the new lanes are led at the latest."""

    epoch: int
    opens_in_seconds: float


def consequences(plan: LanesPlan) -> list[str]:
    """Return what a person must know before, one sentence each."""
    if not plan.is_a_change():
        return [f"The outbox has {plan.lanes_before} lane(s) already: nothing would change."]
    said = [f"The outbox would have {plan.lanes_after} lane(s) instead of {plan.lanes_before}."]
    if plan.repeated:
        said.append(
            f"{plan.repeated} events that were published (sequence {plan.first_repeated} to {plan.last_repeated}) "
            "would be published again, in order, with the same message ids: receivers that deduplicate see each once."
        )
    else:
        said.append("No event that is known as published would be published again.")
    if plan.leaders:
        said.append(
            f"{plan.leaders} lane(s) are led now: their relays would stop publishing within seconds and end with a "
            "message; what they published since their last save, about a second's worth, would be published again too."
        )
    said.append(f"Then every relay needs relay.lanes: {plan.lanes_after} (OUTBOX_RELAY_LANES), and is started again.")
    return said
