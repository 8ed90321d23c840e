"""The ids that a flow's mapping needs of other systems, looked up before anything is rendered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from outbox.model.awaited import Lack, ReferencesAwaited, can_be_linked
from outbox.model.errors import MappingError, ReferenceMissing
from outbox.model.inbox import DueDelivery
from outbox.model.mapping import Reference
from outbox.model.versions import Cast


class ReferenceSession(Protocol):
    """The cross-reference as the applier needs it."""

    async def linked(self, references: Sequence[Reference]) -> Mapping[Reference, str]:
        """Return the ids, and keys of ours, that are known."""
        ...


class ReferringMap(Protocol):
    """A mapping that needs ids of other systems."""

    def needs(self, payload: bytes, resolved: Mapping[Reference, str]) -> frozenset[Reference]:
        """Return which ids a payload needs besides those that are known. Raises MappingError."""
        ...

    def lacks(self, payload: bytes, resolved: Mapping[Reference, str]) -> Sequence[Lack]:
        """Return the same in the order of the rules, with what those say of it. Raises MappingError."""
        ...

    def apply(self, payload: bytes, resolved: Mapping[Reference, str]) -> Mapping[str, object]:
        """Return the document. Raises MappingError."""
        ...


@dataclass(frozen=True, slots=True)
class Resolved:
    """A mapping with the ids that were found."""

    mapping: ReferringMap
    known: Mapping[Reference, str]

    def apply(self, payload: bytes) -> Mapping[str, object]:
        """Return the document.

        Raises:
            ReferencesAwaited: ids are not known, and all of them may be waited for.
            MappingError: also for an id that is not known and not waited for, or could never be.
        """
        try:
            return self.mapping.apply(payload, self.known)
        except ReferenceMissing:
            # What is wrong besides is told first: waiting would not mend it.
            lacks = self.mapping.lacks(payload, self.known)
            for lack in lacks:
                if lack.patience is None or not can_be_linked(lack.reference):
                    raise lack.error from None
            raise ReferencesAwaited(lacks) from None


async def resolved(
    mapping: ReferringMap, cast: Cast, session: ReferenceSession, due: Iterable[DueDelivery]
) -> Resolved:
    """Look up what these deliveries need, all of it together, and what they need because of what was found.

    Raises:
        Unavailable: the database is away.
    """
    due = tuple(due)
    known: dict[Reference, str] = {}
    asked: set[Reference] = set()
    while wanted := {one for delivery in due for one in _needs(mapping, cast, delivery, known)} - asked:
        known |= await session.linked(tuple(wanted))
        asked |= wanted
    return Resolved(mapping, known)


def _needs(mapping: ReferringMap, cast: Cast, due: DueDelivery, known: Mapping[Reference, str]) -> frozenset[Reference]:
    try:
        _, payload = cast(due.type, due.version, due.body)
        return mapping.needs(payload, known)
    except MappingError:
        # Told when it is rendered.
        return frozenset()
