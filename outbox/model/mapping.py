"""What the flow runtime asks of a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol


class Missing(Enum):
    """What a path finds where there is nothing; null is something."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


@dataclass(frozen=True, slots=True)
class Reference:
    """A record of ours whose id in another system a mapping needs. ``key`` is of the payload: never logged."""

    entity: str
    system: str
    key: str


class Map(Protocol):
    """Turns the payload of an event into the document of the target system."""

    def apply(self, payload: bytes) -> Mapping[str, object]:
        """Return the document.

        Raises:
            MappingError: with the field and what was found there, never its value.
        """
        ...
