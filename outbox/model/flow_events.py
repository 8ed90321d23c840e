"""What happens to a flow as a whole; part of `outbox.model.lifecycle.Lifecycle`."""

from __future__ import annotations

from dataclasses import dataclass

from outbox.model.circuit import CircuitState


@dataclass(frozen=True, slots=True)
class CircuitChanged:
    """A flow's circuit opened or closed.

    ``pause_seconds``: until the next probe; None with open: until a person closes it.
    """

    flow: str
    state: CircuitState
    pause_seconds: float | None
    needs_a_person: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class CircuitSeen:
    """A look at a flow's circuit: a person has changed it (``changed_by``), or it was not closed at the first look."""

    flow: str
    state: CircuitState
    needs_a_person: bool
    reason: str | None
    changed_by: str | None


@dataclass(frozen=True, slots=True)
class FlowObserved:
    """How a flow stands in the database; see `FlowStanding`. One process tells it for all."""

    flow: str
    circuit: CircuitState
    needs_a_person: bool
    dead: int
    in_doubt: int
    blocked: int
    oldest_due_age_seconds: float
    oldest_waiting_age_seconds: float
    quiet_seconds: float
    broken_rules: tuple[str, ...]
    awaiting: int = 0


@dataclass(frozen=True, slots=True)
class FlowUnobserved:
    """Another process tells from now on how the flow stands."""

    flow: str


@dataclass(frozen=True, slots=True)
class AlertRaised:
    """A flow is not as its owner promised; see `outbox.model.alerts`."""

    flow: str
    rule: str
    text: str
    owner: str | None
    runbook: str | None


@dataclass(frozen=True, slots=True)
class AlertOver:
    """It is as promised again."""

    flow: str
    rule: str


@dataclass(frozen=True, slots=True)
class TargetThrottles:
    """The target wants fewer calls: the flow calls nothing for so long."""

    flow: str
    pause_seconds: float
    reason: str | None


@dataclass(frozen=True, slots=True)
class Parked:
    """A delivery waits for a person from now on. ``attempt``: the call that parked it; None: it was not called."""

    flow: str
    message_id: str
    sequence: int
    attempt: int | None
    state: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class LinkRefused:
    """A receipt names a record that contradicts the cross-reference; see `outbox.model.xref.LinkVerdict`."""

    flow: str
    message_id: str
    sequence: int
    verdict: str


@dataclass(frozen=True, slots=True)
class WaitsBegan:
    """Deliveries lack ids of other systems, and wait for them. ``reason``: of the first of them."""

    flow: str
    deliveries: int
    reason: str


@dataclass(frozen=True, slots=True)
class WaitsEnded:
    """Deliveries wait no longer for ids: these are linked, or the mapping may have changed."""

    flow: str
    deliveries: int


@dataclass(frozen=True, slots=True)
class RecordsAsked:
    """Events of another flow were brought to it again, because the ids that come of them are waited for here."""

    flow: str
    asked_flow: str
    events: int


@dataclass(frozen=True, slots=True)
class DeliveriesForgotten:
    """Finished deliveries were removed, because no copy of their messages can come any more."""

    deliveries: int


_Observations = CircuitSeen | FlowObserved | FlowUnobserved | AlertRaised | AlertOver
_Waits = WaitsBegan | WaitsEnded | RecordsAsked
FlowEvents = CircuitChanged | TargetThrottles | Parked | LinkRefused | DeliveriesForgotten | _Observations | _Waits
