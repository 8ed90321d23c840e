"""What the flow runtime asks of a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final, Protocol


class Missing(Enum):
    """What a path finds where there is nothing; null is something."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


class Wanted(StrEnum):
    """What a reference is looked up for: the id that a system gave, or our own key."""

    ID = "id"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Reference:
    """A record whose id in another system a mapping needs, or whose key of ours.

    ``key``: what it is looked up by, our key or the system's id. It is of the payload: never logged.
    """

    entity: str
    system: str
    key: str
    to: Wanted = Wanted.ID

    def __str__(self) -> str:
        """For people who look at deliveries and their keys; never for a log."""
        if self.to is Wanted.KEY:
            return f"our key of {self.entity} {self.key} of {self.system}"
        return f"{self.entity} {self.key} in {self.system}"


class Map(Protocol):
    """Turns the payload of an event into the document of the target system."""

    def apply(self, payload: bytes) -> Mapping[str, object]:
        """Return the document.

        Raises:
            MappingError: with the field and what was found there, never its value.
        """
        ...
