"""Texts that stand for ids of other systems where the cross-reference is not asked. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Known
from typing import Protocol

from outbox.model.mapping import Reference, Wanted

_NOTHING: Known[Reference, str] = {}


class ReferringMap(Protocol):
    """A mapping that needs ids of other systems."""

    def apply(self, payload: bytes, resolved: Known[Reference, str]) -> dict[str, object]:
        """Return the document. Raises MappingError."""
        ...

    def needs(self, payload: bytes, resolved: Known[Reference, str]) -> frozenset[Reference]:
        """Return which ids a payload needs besides those that are known. Raises MappingError."""
        ...


def placeholders(
    mapping: ReferringMap, payload: bytes, links: Known[Reference, str] = _NOTHING
) -> Iterator[tuple[Reference, str]]:
    """Yield a stand-in for every id that a payload needs and the links do not have.

    Raises:
        MappingError: the payload cannot be mapped; what stood in by then has been yielded.
    """
    known = dict(links)
    while needed := mapping.needs(payload, known):
        made = {one: _stand_in(one) for one in needed}
        known |= made
        yield from made.items()


def _stand_in(reference: Reference) -> str:
    if reference.to is Wanted.KEY:
        return f"<{reference}>"
    return f"<{reference.system} id of {reference.entity} {reference.key}>"
