"""What comes to the inbox from the broker: events of an ERP, some later than those after them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from outbox.model.inbox import Arrival
from tests.kit.model_target import Nature


@dataclass
class Wire:
    """Every event has the next sequence; ``arrived`` holds what the inbox has been given."""

    arrived: list[Arrival] = field(default_factory=list)
    natures: dict[str, Nature] = field(default_factory=dict)
    _sequence: int = 0
    _held_back: list[Arrival] = field(default_factory=list)

    def next(self, events: list[tuple[str | None, Nature]], *, held_back: int | None) -> list[Arrival]:
        """Make events and return those that arrive now."""
        made = [self._make(key, nature) for key, nature in events]
        if held_back is not None and held_back < len(made):
            self._held_back.append(made.pop(held_back))
        self.arrived += made
        return made

    def late(self) -> list[Arrival]:
        """Return what was held back, newest first."""
        late, self._held_back = self._held_back[::-1], []
        self.arrived += late
        return late

    def _make(self, key: str | None, nature: Nature) -> Arrival:
        self._sequence += 1
        message_id = f"m{self._sequence}"
        self.natures[message_id] = nature
        return Arrival(
            message_id=message_id,
            sequence=self._sequence,
            type="order.confirmed",
            version=1,
            key=key,
            headers_json="{}",
            body=json.dumps({"nature": nature}).encode(),
        )
