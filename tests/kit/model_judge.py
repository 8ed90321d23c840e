"""What must hold of a flow's deliveries and the target's effects: after every step, and when nothing is left to do.

Knows the rules from ARCHITECTURE.md, and nothing of how they are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from outbox.model.delivery import OrderPolicy
from tests.kit.model_target import HAS_KEYS, ModelTarget, Nature, Style
from tests.kit.model_wire import Wire

Row = Mapping[str, Any]

# In these nothing has taken effect, and nothing will by itself.
_NOT_DONE = frozenset({"ready", "blocked", "retry", "dead", "skipped"})
_FINISHED = frozenset({"applied", "skipped"})
# Where a key may wait for ever: a person must look at its head.
_PARKED = frozenset({"dead", "in_doubt"})


def complaints(rows: Sequence[Row], target: ModelTarget, wire: Wire) -> list[str]:
    """Return what must never be so."""
    return [*_effects(target), *_states(rows, target), *_keys(rows), *_arrivals(rows, wire)]


def final_complaints(rows: Sequence[Row], target: ModelTarget, wire: Wire, order: OrderPolicy) -> list[str]:
    """Return what must not be so when nothing is due any more."""
    return [complaint for row in rows for complaint in _fate(row, rows, target, wire, order)]


def _effects(target: ModelTarget) -> Iterator[str]:
    times = Counter(effect.message_id for effect in target.effects)
    yield from (f"{message_id} took effect {count} times" for message_id, count in times.items() if count > 1)
    last: dict[str, int] = {}
    for effect in target.effects:
        if effect.key is None:
            continue
        if effect.sequence < last.get(effect.key, 0):
            yield f"{effect.message_id} took effect after sequence {last[effect.key]} of its key"
        last[effect.key] = effect.sequence


def _states(rows: Sequence[Row], target: ModelTarget) -> Iterator[str]:
    done = {effect.message_id for effect in target.effects}
    for row in rows:
        message_id, state = row["message_id"], row["state"]
        if state == "applied" and message_id not in done:
            yield f"{message_id} is applied and took no effect"
        if state in _NOT_DONE and message_id in done:
            yield f"{message_id} is {state} and took effect"
        if state in _NOT_DONE and target.is_busy_with(message_id):
            yield f"{message_id} is {state} while the target is still at it"
        if state in {"dead", "in_doubt", "retry"} and not row["reason"]:
            yield f"{message_id} is {state} without a reason"


def _keys(rows: Sequence[Row]) -> Iterator[str]:
    for key in {row["key"] for row in rows} - {None}:
        unfinished = [r for r in rows if r["key"] == key and r["state"] not in _FINISHED and not r["is_passed"]]
        heads = [row for row in unfinished if row["state"] != "blocked"]
        acting = [row for row in heads if row["state"] != "dead"]
        if len(acting) > 1:
            yield f"{key}: {[row['message_id'] for row in acting]} act at the same time"
        if unfinished and not heads:
            yield f"{key}: all {len(unfinished)} are blocked, and nobody will wake them"
        for row in acting:
            earlier = [r for r in unfinished if r["sequence"] < row["sequence"] and r["state"] != "dead"]
            if earlier:
                yield f"{row['message_id']} is {row['state']} before {[r['message_id'] for r in earlier]}"


def _arrivals(rows: Sequence[Row], wire: Wire) -> Iterator[str]:
    if {row["message_id"] for row in rows} != {arrival.message_id for arrival in wire.arrived}:
        yield "what has arrived is not what the inbox holds"


def _fate(row: Row, rows: Sequence[Row], target: ModelTarget, wire: Wire, order: OrderPolicy) -> Iterator[str]:
    message_id, nature = row["message_id"], wire.natures[row["message_id"]]
    match row["state"]:
        case "applied":
            return
        case "skipped" if row["is_resolved"]:
            return
        case "skipped" if order.on_stale == "skip" and _was_overtaken(row, rows):
            return
        case "dead" if row["reason_class"] == "stale" and order.on_stale == "park":
            return
        case "dead" if nature in {Nature.REJECTED, Nature.UNMAPPABLE, Nature.LATER_UNMAPPABLE}:
            return
        case "dead" if nature is Nature.REFERRING and "s for it. Link it" in row["reason"]:
            return
        case "dead" if row["failures"] > 1:
            return
        case "in_doubt" if _may_park(row, target.style, nature):
            return
        case "blocked" if any(r["key"] == row["key"] and r["state"] in _PARKED and not r["is_passed"] for r in rows):
            return
    yield f"{message_id} ({nature}) ends as {row['state']}: {row['reason']}"


def _was_overtaken(row: Row, rows: Sequence[Row]) -> bool:
    """Say whether a later one of its key was ever taken up."""
    return any(one["key"] == row["key"] and one["sequence"] > row["sequence"] and one["attempt"] for one in rows)


def _may_park(row: Row, style: Style, nature: Nature) -> bool:
    """Say whether nobody but a person can know how this one stands."""
    if "tries are used up" in row["reason"]:
        return True
    if style in HAS_KEYS and nature is Nature.REJECTED and "a later one was refused" in row["reason"]:
        # A refusal tells nothing of a call before it that nobody saw end.
        return True
    if nature is Nature.REFERRING and "the request cannot be built again" in row["reason"]:
        # What may have been applied does not wait for an id that was taken away.
        return True
    match style:
        case Style.NONE:
            return True
        case Style.KEY | Style.KEY_CACHES_ERRORS | Style.JOB:
            return (
                "outside the target's idempotency window" in row["reason"]
                or "changed" in row["reason"]
                or (nature is Nature.LATER_UNMAPPABLE)
            )
        case Style.UPSERT | Style.UPSERT_BY_KEY | Style.NAMED_CREATE:
            return nature is Nature.LATER_UNMAPPABLE
        case _:
            return False
