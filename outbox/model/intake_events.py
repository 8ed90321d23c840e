"""What happens at the intake; part of `outbox.model.lifecycle.Lifecycle`. Never anything of a body."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IntakeListening:
    """Requests can come from now on."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class RequestTaken:
    """A request has its answer, and its events are committed. ``known``: those that were taken before."""

    source: str
    events: int
    known: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """A request was not taken, or not all of it."""

    source: str
    problem: str
    status: int


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """A request met a bug; its sender was told 500."""

    source: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class ContentChanged:
    """What came has the id of an earlier event and another content: it got that one's answer, and was not taken."""

    source: str
    message_id: str


@dataclass(frozen=True, slots=True)
class RefusalsNoted:
    """Refused requests can be looked up. ``uncounted``: those for which there was no room to remember them."""

    rows: int
    requests: int
    uncounted: int


@dataclass(frozen=True, slots=True)
class IntakeForgot:
    """Names whose time was over, and refused requests, were removed."""

    names: int
    refusals: int


_Requests = RequestTaken | RequestRefused | RequestFailed | ContentChanged
IntakeEvents = IntakeListening | _Requests | RefusalsNoted | IntakeForgot
