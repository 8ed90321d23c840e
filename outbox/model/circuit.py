"""The circuit of a flow: what answers say about the target rather than about the message. Pure.

Closed, everything is called. Open, nothing is, until its time has passed; then one call, the probe, decides (half
open). The state is in `inbox.circuit`, shared by all processes of the flow; `inbox.tell_circuit` moves it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never

from outbox.model.backoff import Backoff
from outbox.model.outcome import (
    Absent,
    Accepted,
    AlreadyApplied,
    Ambiguous,
    Applied,
    Configuration,
    CredentialsExpired,
    Different,
    LookUpAnswer,
    NotTold,
    Outcome,
    Present,
    Rejected,
    Retry,
    StaleConflict,
    TargetDown,
    Throttled,
    Unknown,
)


class CircuitState(StrEnum):
    """The same words as in ``inbox.circuit.state``."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """When a circuit opens, and for how long.

    ``failures``: of so many different deliveries in a row, without an answer that shows a working target.
    """

    failures: int = 5
    backoff: Backoff = field(default_factory=lambda: Backoff(first_seconds=5.0, max_seconds=300.0))


class Signal(StrEnum):
    """What one answer says about the target."""

    WORKS = "works"
    TROUBLE = "trouble"
    """It, the network or this message has a problem: only several deliveries together say which."""
    STOP = "stop"
    """Every call would end like this, until a person acts."""
    THROTTLE = "throttle"
    """It wants fewer calls."""
    NONE = "none"
    """We have not let the call leave: nothing is known of it."""


@dataclass(frozen=True, slots=True)
class Sign:
    """A signal with its circumstances.

    ``pause_seconds``: how long nothing is called (`Signal.THROTTLE`), or no probe if it opens (`Signal.TROUBLE`),
    ``is_shared``: by any flow of the connection.
    ``is_final``: not even a probe is sent any more.
    """

    signal: Signal
    reason: str | None = None
    pause_seconds: float | None = None
    is_shared: bool = False
    is_final: bool = False


# How long a target is left alone that wants fewer calls and does not say for how long.
_THROTTLE_SECONDS = {"rate": 1.0, "concurrency": 0.0, "daily": 3600.0}


def sign_of(answer: Outcome | LookUpAnswer) -> Sign:
    """Return what an answer to a call says about the target."""
    match answer:
        case Applied() | AlreadyApplied() | Accepted() | Rejected() | StaleConflict():
            return Sign(Signal.WORKS)
        case Present() | Absent() | Ambiguous() | Different():
            return Sign(Signal.WORKS)
        case Unknown(reason, needs_a_person=True, is_final=is_final):
            return Sign(Signal.STOP, reason, is_final=is_final)
        case TargetDown(reason, after_seconds) | Unknown(reason, after_seconds):
            return Sign(Signal.TROUBLE, reason, after_seconds)
        case Retry(reason) | CredentialsExpired(reason):
            return Sign(Signal.TROUBLE, reason)
        case Configuration(reason, is_final):
            return Sign(Signal.STOP, reason, is_final=is_final)
        case Throttled(is_ours=True):
            return Sign(Signal.NONE)
        case Throttled(reason, after_seconds, scope, kind):
            pause_seconds = _THROTTLE_SECONDS[kind] if after_seconds is None else after_seconds
            is_shared = scope == "connection" and pause_seconds > 0
            return Sign(Signal.THROTTLE, reason, pause_seconds, is_shared)
        case NotTold(outcome):
            return sign_of(outcome)
        case _:
            assert_never(answer)


@dataclass(frozen=True, slots=True)
class CircuitChange:
    """What telling the circuit has changed: its new state, or how long it is paused for a target that throttles.

    ``flow``: another one than was told for, when it shares the connection that is throttled. ``seconds``: until the
    next probe, or the next call; None: until a person acts.
    """

    flow: str
    state: CircuitState
    reason: str | None
    seconds: float | None
    needs_a_person: bool
    is_throttled: bool
