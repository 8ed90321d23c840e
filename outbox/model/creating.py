"""Asking another flow to bring a record into a system first, because its id is waited for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from outbox.model.awaited import Awaited, Look
from outbox.model.xref import Registry

# So many keys are asked for in one statement, which holds the lanes of the flow that is asked.
_MOST_KEYS = 200


class Standing(StrEnum):
    """How it stands with a record that a flow was asked for; the words of ``inbox.create_first`` in SQL."""

    ASKED = "asked"
    UNDER_WAY = "under_way"
    PARKED = "parked"
    GONE = "gone"
    NO_ID = "no_id"
    NOT_FOUND = "not_found"
    NOT_NOW = "not_now"
    REJECTED = "rejected"
    DECIDED = "decided"
    NO_ROOM = "no_room"
    NOT_CONSUMED = "not_consumed"

    @property
    def is_on_its_way(self) -> bool:
        """Say whether the flow has it before it, so that it comes to an end by itself: then it stands otherwise."""
        return self in (Standing.ASKED, Standing.UNDER_WAY, Standing.NO_ROOM)

    def told(self, flow: str) -> str:
        """Return it for people; no key is in it, because it is logged."""
        match self:
            case Standing.ASKED | Standing.UNDER_WAY:
                return f"flow {flow} is at it"
            case Standing.PARKED:
                return f"in flow {flow} it waits for a person (outbox dead list --flow {flow})"
            case Standing.GONE:
                return f"the outbox has no event of it any more for flow {flow}"
            case Standing.NO_ID:
                return f"flow {flow} has applied it, and no id came of that (outbox xref conflicts)"
            case Standing.NOT_FOUND:
                return f"the newest events of the outbox have none of it for flow {flow}"
            case Standing.NOT_NOW:
                return f"its newest event is not one that flow {flow} can apply again now"
            case Standing.REJECTED:
                return f"its event was never published, so flow {flow} does not get it (outbox rejected list)"
            case Standing.DECIDED:
                return f"in flow {flow} a person has skipped or resolved it, or it was skipped as stale"
            case Standing.NO_ROOM:
                return f"flow {flow} has enough to do and is asked later"
            case Standing.NOT_CONSUMED:
                return f"flow {flow} has never been consumed"
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True)
class Creator:
    """A flow that can be asked. ``patterns``: of its types, see `outbox.model.replay.type_patterns`."""

    flow: str
    patterns: tuple[str, ...]
    on_stale: str


@dataclass(frozen=True, slots=True)
class Request:
    """Which records one flow is asked for, in one statement."""

    creator: Creator
    registry: Registry
    keys: tuple[str, ...]


def requests_of(looks: Iterable[Look], creators: Mapping[str, Creator]) -> list[Request]:
    """Return what is to be asked for what these deliveries lack, each record once."""
    wanted: dict[tuple[str, Registry], dict[str, None]] = {}
    for one in (one for look in looks for one in look.missing):
        if one.creator is not None and one.creator in creators:
            registry = Registry(one.reference.entity, one.reference.system)
            wanted.setdefault((one.creator, registry), {})[one.reference.key] = None
    return [
        Request(creators[flow], registry, tuple(keys)[start : start + _MOST_KEYS])
        for (flow, registry), keys in wanted.items()
        for start in range(0, len(keys), _MOST_KEYS)
    ]


def are_on_their_way(missing: Sequence[Awaited], standings: Mapping[tuple[str, Registry, str], Standing]) -> bool:
    """Say whether the flows that were asked have all of these records before them."""
    return all(one is not None and one.is_on_its_way for one in (_standing(one, standings) for one in missing))


def standing_text(missing: Sequence[Awaited], standings: Mapping[tuple[str, Registry, str], Standing]) -> str | None:
    """Return how it stands with the first record that a flow was asked for; None: none was."""
    for one in missing:
        standing = _standing(one, standings)
        if standing is not None and one.creator is not None:
            return standing.told(one.creator)
    return None


def _standing(one: Awaited, standings: Mapping[tuple[str, Registry, str], Standing]) -> Standing | None:
    registry = Registry(one.reference.entity, one.reference.system)
    return None if one.creator is None else standings.get((one.creator, registry, one.reference.key))
