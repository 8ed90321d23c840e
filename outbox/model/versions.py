"""Versions of a type: how a flow names the one that it knows, and what brings a payload there."""

from __future__ import annotations

from collections.abc import Callable

_MARK = "@"

# From type, version and payload of an event to the version and payload that a flow takes. Raises MappingError.
Cast = Callable[[str, int, bytes], tuple[int, bytes]]


def unchanged(_event_type: str, version: int, payload: bytes) -> tuple[int, bytes]:
    """Take an event as it is."""
    return version, payload


def topic_of(pattern: str) -> str:
    """Return what a broker is bound by: ``order.confirmed`` of ``order.confirmed@1``."""
    return pattern.partition(_MARK)[0]


def version_of(pattern: str) -> int | None:
    """Return the version that a pattern names, None: any."""
    _, mark, version = pattern.partition(_MARK)
    return int(version) if mark else None
