"""What the intake asks the database to take, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# Dedup names and their scopes, as the table takes them.
MAX_NAME_BYTES = 255
# The scope of a client's idempotency keys; no source is called so, because names have no dots.
CLIENT_PREFIX = "commands."
# What is refused without a source that is known.
NO_SOURCE = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """One event that is to be taken, once.

    ``source`` and ``name`` tell it from others: the provider's id, a hash of the payload, or an idempotency key.
    ``body_sha256`` tells whether the same name came with another content. ``signed_at_seconds``: what the sender has
    signed, judged by the database's clock; None where its scheme signs no time. ``is_command``: one that is just being
    taken by somebody else is not waited for.
    """

    source: str
    name: str
    body_sha256: bytes
    type: str
    version: int
    key: str | None
    payload: str
    headers: str
    signed_at_seconds: float | None
    window_seconds: float
    remember_seconds: float
    is_command: bool = False


class TakenState(StrEnum):
    """What became of a draft."""

    NEW = "new"
    KNOWN = "known"
    # Known by its name, but the first one had another content.
    CHANGED = "changed"
    IN_PROGRESS = "in_progress"
    STALE = "stale"
    EARLY = "early"


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer for one draft; ``event_id`` is that of the first one with its name, None when nothing was taken."""

    state: TakenState
    event_id: str | None


@dataclass(frozen=True, slots=True)
class RefusedNote:
    """Requests that were refused for the same reason, as they are remembered: never anything of a body.

    ``requests``: how many; all but the first are only counted. ``header_names``: of the first.
    """

    source: str
    reason: str
    status: int
    requests: int
    body_bytes: int
    remote: str
    detail: str
    header_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """One row of ``intake.refused``, for people."""

    refused_at: str
    source: str
    reason: str
    status: int
    requests: int
    body_bytes: int
    remote: str
    detail: str
    header_names: list[str]
