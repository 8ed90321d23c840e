"""What the flow runtime asks of a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Map(Protocol):
    """Turns the payload of an event into the document of the target system."""

    def apply(self, payload: bytes) -> Mapping[str, object]:
        """Return the document.

        Raises:
            MappingError: with the field and what was found there, never its value.
        """
        ...
