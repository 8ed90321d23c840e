"""What another mapping would change: the documents of both, field by field. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as Known
from dataclasses import dataclass, field

from outbox.flow.placeholders import ReferringMap, placeholders
from outbox.model.errors import MappingError
from outbox.model.exact_json import exact_json
from outbox.model.paths import steps_text

Place = tuple[str | int, ...]

# Enough to look some of them up.
MAX_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one document: as JSON text, None where it has none."""

    event_id: str
    path: str
    before: str | None
    after: str | None


@dataclass(slots=True)
class FieldChange:
    """What changes in one field of all documents. Places in lists are ``[]``; ``documents`` counts each event once."""

    path: str
    documents: int = 0
    added: int = 0
    removed: int = 0
    changed: int = 0
    examples: list[Change] = field(default_factory=list)


@dataclass(slots=True)
class Difference:
    """What a changed mapping changes. ``refused`` and ``mended``: events that become dead letters, or no longer do."""

    looked_at: int = 0
    differing: int = 0
    fields: dict[str, FieldChange] = field(default_factory=dict)
    refused: dict[str, list[str]] = field(default_factory=dict)
    mended: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Say that both make the same of every event."""
        return self.differing == 0


def difference(before: ReferringMap, after: ReferringMap, events: Iterable[tuple[str, bytes]]) -> Difference:
    """Compare what two mappings make of events, each given as id and payload."""
    found = Difference()
    for event_id, payload in events:
        found.looked_at += 1
        old, new = _made(before, payload), _made(after, payload)
        match old, new:
            case dict(), dict():
                changes = list(_changes(event_id, dict(_leaves(old)), dict(_leaves(new))))
                _count(found, changes)
            case dict(), str():
                found.differing += 1
                found.refused.setdefault(new, []).append(event_id)
            case str(), dict():
                found.differing += 1
                found.mended.setdefault(old, []).append(event_id)
            case _:
                pass
    return found


def _made(mapping: ReferringMap, payload: bytes) -> dict[str, object] | str:
    try:
        return mapping.apply(payload, dict(placeholders(mapping, payload)))
    except MappingError as error:
        return str(error)


def _leaves(document: dict[str, object]) -> Iterator[tuple[Place, str]]:
    """Yield what stands at every place, as JSON text; empty lists and objects are something as well."""
    # Without recursion: payloads may be nested as deep as they like.
    pending: list[tuple[Place, object]] = [((), document)]
    while pending:
        steps, value = pending.pop()
        match value:
            case dict() if value:
                pending += [((*steps, name), member) for name, member in reversed(value.items())]
            case list() if value:
                pending += [((*steps, place), value[place]) for place in reversed(range(len(value)))]
            case _:
                yield steps, exact_json(value)


def _changes(event_id: str, old: Known[Place, str], new: Known[Place, str]) -> Iterator[Change]:
    for steps in dict.fromkeys((*old, *new)):
        if old.get(steps) != new.get(steps):
            yield Change(event_id, steps_text(steps), old.get(steps), new.get(steps))


def _count(found: Difference, changes: Sequence[Change]) -> None:
    found.differing += 1 if changes else 0
    told: set[str] = set()
    for change in changes:
        path = re.sub(r"\[\d+\]", "[]", change.path)
        one = found.fields.setdefault(path, FieldChange(path))
        if path not in told:
            told.add(path)
            one.documents += 1
            if len(one.examples) < MAX_EXAMPLES:
                one.examples.append(change)
        if change.before is None:
            one.added += 1
        elif change.after is None:
            one.removed += 1
        else:
            one.changed += 1
