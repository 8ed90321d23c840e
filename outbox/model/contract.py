"""What a contract's check says: where a payload breaks it, by which rule, and what kind of value was there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# A dead letter's reason is a header; a path of a pathological payload must not fill it.
_MAX_PATH_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which a payload breaks its contract. Nothing of the payload's values is in it.

    ``path`` is a JSON Pointer; names that no contract declares are payload, too, and stand there as ``*``. ``rule`` is
    the keyword of the schema, or ``json`` where the payload cannot be read. ``found`` names the kind of value, and
    ``wanted`` what the contract says, where that is short.
    """

    path: str
    rule: str
    found: str
    wanted: str | None = None

    def __str__(self) -> str:
        path = self.path or "(document)"
        if len(path) > _MAX_PATH_CHARACTERS:
            path = f"{path[: _MAX_PATH_CHARACTERS - 1]}…"
        wanted = "" if self.wanted is None else f" ({self.wanted})"
        return f"{path}: rule {self.rule}{wanted}, found {self.found}"


def contract_name(event_type: str, version: int) -> str:
    """Return how a contract is called: ``order.confirmed@1``."""
    return f"{event_type}@{version}"


def breach(event_type: str, version: int, violations: Sequence[Violation]) -> str:
    """Return the reason of an event that breaks its contract, in one line."""
    return f"breaks contract {contract_name(event_type, version)}: {'; '.join(map(str, violations))}"
