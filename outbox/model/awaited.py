"""Ids that a mapping lacks and a delivery waits for: how long, how often is looked, and what people are told. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from outbox.model.errors import MappingError, ReferenceMissing
from outbox.model.mapping import Reference, Wanted
from outbox.model.storable import is_storable
from outbox.model.xref import MAX_ID_BYTES, MAX_KEY_BYTES

REASON_CLASS = "waits"
# The first pause: what is about to be linked is linked within a second or two.
_FIRST_SECONDS = 1.0
# Whoever has waited for long goes on at most this part later than it could, and costs a few looks an hour.
_PAUSE_PART = 0.1
_LONGEST_SECONDS = 60.0
# So many ids are noted of a delivery; when they are known it is seen what else it lacks.
_MAX_NOTED = 100


@dataclass(frozen=True, slots=True)
class Patience:
    """What a rule says of an id that is not known: the delivery waits, and for how long.

    ``creator``: the flow that is asked to bring the record into the system first.
    """

    within_seconds: float
    creator: str | None = None


@dataclass(frozen=True, slots=True)
class Lack:
    """An id that a document lacks. Without ``patience`` the delivery is a dead letter."""

    reference: Reference
    patience: Patience | None
    error: ReferenceMissing


class ReferencesAwaited(MappingError):
    """All that a document lacks are ids that may be waited for."""

    def __init__(self, lacks: Sequence[Lack]) -> None:
        first = lacks[0].error
        self.lacks = tuple(lacks)
        super().__init__(first.field, first.reason, first.target)


@dataclass(frozen=True, slots=True)
class Awaited:
    """An id that a delivery waits for. ``problem``: what its rule says, without the key."""

    reference: Reference
    problem: str
    creator: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that begins to wait, or goes on with it; see ``inbox.wait``."""

    id: int
    epoch: int
    awaited: tuple[Awaited, ...]
    pause_seconds: float
    within_seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Look:
    """A delivery that waits and is looked at again. ``missing``: what is still not known; empty: it may go on.

    ``due_seconds``: for how long the look has been due.
    """

    id: int
    epoch: int
    message_id: str
    sequence: int
    waited_seconds: float
    left_seconds: float
    reason: str
    missing: tuple[Awaited, ...]
    due_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LookAgain:
    """The end of a look. Without a pause the delivery is due now."""

    id: int
    epoch: int
    pause_seconds: float | None
    reason: str


def pause_seconds(waited_seconds: float, left_seconds: float) -> float:
    """Return after which pause is looked again: a tenth of what was waited, within bounds, and at the end at last."""
    pause = min(max(waited_seconds * _PAUSE_PART, _FIRST_SECONDS), _LONGEST_SECONDS)
    return max(min(pause, left_seconds), 0.0)


def can_be_linked(reference: Reference) -> bool:
    """Say whether the cross-reference could ever know it; what it could not is not waited for."""
    most = MAX_KEY_BYTES if reference.to is Wanted.ID else MAX_ID_BYTES
    return is_storable(reference.key) and 1 <= len(reference.key.encode()) <= most


def waiting(delivery_id: int, epoch: int, lacks: Sequence[Lack]) -> Waiting:
    """Return how a delivery waits for what it lacks: as long as the least patient of its rules says."""
    within = min(lack.patience.within_seconds for lack in lacks if lack.patience is not None)
    awaited = tuple(
        Awaited(lack.reference, str(lack.error), None if lack.patience is None else lack.patience.creator)
        for lack in lacks[:_MAX_NOTED]
    )
    # A flow is asked with the next look.
    pause = 0.0 if any(one.creator is not None for one in awaited) else pause_seconds(0.0, within)
    return Waiting(delivery_id, epoch, awaited, pause, within, waiting_reason(awaited))


def waiting_reason(missing: Sequence[Awaited], standing: str | None = None) -> str:
    """Return what people are told of a delivery that waits; no key is in it, because it is logged.

    ``standing``: how it stands with the record that another flow was asked for.
    """
    more = f" and for {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"{missing[0].problem}; waits for it{more}{'' if standing is None else f': {standing}'}"


def given_up_reason(look: Look, standing: str | None = None) -> str:
    """Return why a delivery that has waited for long enough is a dead letter, and what mends it."""
    told = "" if standing is None else f", and {standing}"
    return (
        f"{look.missing[0].problem}; waited {look.waited_seconds:.0f} s for it{told}. "
        "Link it (outbox xref set, or import), then outbox dead retry"
    )


def to_json(awaited: Sequence[Awaited]) -> str:
    """Return the text of ``inbox.delivery.waits_for``."""
    return json.dumps(
        [
            {
                "entity": one.reference.entity,
                "system": one.reference.system,
                "key": one.reference.key,
                "to": one.reference.to.value,
                "problem": one.problem,
                "creator": one.creator,
            }
            for one in awaited
        ]
    )


def from_json(text: str | None) -> tuple[Awaited, ...]:
    """Return what such a text says; None says nothing."""
    return tuple(
        Awaited(Reference(one["entity"], one["system"], one["key"], Wanted(one["to"])), one["problem"], one["creator"])
        for one in ([] if text is None else json.loads(text))
    )


def awaited_text(text: str | None) -> str:
    """Return it for a person who looks at deliveries and their keys: ``customer C-1001 in crm``; never for a log."""
    return ", ".join(str(one.reference) for one in from_json(text))
