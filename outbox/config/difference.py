"""What newer settings change: flow by flow, and what a process that runs cannot take up."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from outbox.config.mapping import asked_flows
from outbox.config.problems import path_text
from outbox.config.settings import Settings

_SHARED = "inbox"
# What flows are made of; everything else is fixed when a process starts.
TAKEN_UP = frozenset({"connections", "flows", _SHARED})
# But for these, which say how long the process as a whole remembers.
_REMEMBERING = ("keep", "queue_life")


@dataclass(frozen=True, slots=True)
class Difference:
    """Flows by name, in the order of the settings. ``needs_restart``: settings that only a restart changes."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    is_any: bool = False


def difference(before: Settings, after: Settings) -> Difference:
    """Compare two settings; secrets too."""
    needs_restart = [
        path
        for name in Settings.model_fields
        if name not in TAKEN_UP
        for path in _differing(getattr(before, name), getattr(after, name), (name,))
    ]
    if before.remembered_seconds() != after.remembered_seconds() and not needs_restart:
        needs_restart = [
            f"{_SHARED}.{name}" for name in _REMEMBERING if getattr(before.inbox, name) != getattr(after.inbox, name)
        ]
    return Difference(
        tuple(name for name in after.flows if name not in before.flows),
        tuple(name for name in after.flows if name in before.flows and not is_same_flow(before, after, name)),
        tuple(name for name in before.flows if name not in after.flows),
        tuple(needs_restart),
        is_any=not _is_same(before, after),
    )


def is_same_flow(before: Settings, after: Settings, name: str) -> bool:
    """Say whether a flow that both have means the same in both.

    Its own settings, its connection's and the inbox's, and what it knows of the flows that it asks for records.
    """
    one, other = before.flows[name], after.flows[name]
    connection = one.adapter.connection
    return (
        _is_same(one, other)
        and before.connections[connection] == after.connections[connection]
        and before.inbox == after.inbox
        and all(_asked(before, asked) == _asked(after, asked) for asked in asked_flows(other.mapping))
    )


def _asked(settings: Settings, name: str) -> tuple[object, ...]:
    flow = settings.flows.get(name)
    return () if flow is None else (flow.topics(), flow.on_stale)


def _differing(before: object, after: object, path: tuple[str, ...]) -> list[str]:
    if before == after:
        return []
    if isinstance(before, BaseModel) and type(before) is type(after):
        return [
            text
            for name in type(before).model_fields
            for text in _differing(getattr(before, name), getattr(after, name), (*path, name))
        ]
    return [path_text(path)]


def _is_same(before: BaseModel, after: BaseModel) -> bool:
    # A default of null that is given and one that is not are equal, and do not mean the same in a mapping.
    return before == after and before.model_dump(exclude_unset=True) == after.model_dump(exclude_unset=True)
