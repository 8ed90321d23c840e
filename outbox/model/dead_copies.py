"""The copies of dead deliveries on the broker: the headers they carry, and what happens to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FLOW = "x-outbox-flow"
REASON = "x-outbox-reason"
REASON_CLASS = "x-outbox-reason-class"
ATTEMPTS = "x-outbox-attempts"
# Which delivery it is the copy of, and how often that had died; what has a smaller number is outdated.
DELIVERY = "x-outbox-delivery"
DEATH = "x-outbox-death"


@dataclass(frozen=True, slots=True)
class Copy:
    """What a message in a dead-letter queue says of itself."""

    delivery_id: int
    death: int
    message_id: str


@dataclass(frozen=True, slots=True)
class Note:
    """That a copy may have to leave the queue. ``noted``: another number whenever that is noted again."""

    delivery_id: int
    death: int
    noted: int


def copy_of(message_id: str | None, headers: Mapping[str, object], flow: str) -> Copy | None:
    """Return what a message is the copy of; None when it is none, or of another flow."""
    delivery_id, death = headers.get(DELIVERY), headers.get(DEATH)
    if headers.get(FLOW) != flow or not message_id or not (_is_number(delivery_id, 63) and _is_number(death, 31)):
        return None
    return Copy(int(str(delivery_id)), int(str(death)), message_id)


def _is_number(value: object, bits: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**bits


@dataclass(frozen=True, slots=True)
class Swept:
    """A walk through a dead-letter queue. ``is_complete``: everything that was there at its start was looked at."""

    removed: int
    left: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Redriven:
    """Somebody moved copies of dead letters back to the flow's queue."""

    flow: str
    tried_again: int
    kept_dead: int


@dataclass(frozen=True, slots=True)
class CopiesRemoved:
    """Copies of resolved deliveries were taken out of the dead-letter queue."""

    flow: str
    removed: int
    left: int
    seconds: float


@dataclass(frozen=True, slots=True)
class CopiesStay:
    """Copies of resolved deliveries cannot be taken out of the dead-letter queue; nothing else is held up."""

    flow: str
    reason: str


DeadEvents = Redriven | CopiesRemoved | CopiesStay
