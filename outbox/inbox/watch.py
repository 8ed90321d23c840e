"""Looks how a flow stands in the database, for the one process that holds its lane 0, and tells of it.

A circuit is shared and can be changed by a person: what this process has seen of its own calls does not say how it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from outbox.inbox.reach import Reach
from outbox.model.alerts import Promise, Rule, broken_rules
from outbox.model.circuit import CircuitState
from outbox.model.flow_events import AlertOver, AlertRaised, CircuitSeen, FlowObserved, FlowUnobserved
from outbox.model.inbox import FlowStanding
from outbox.model.lifecycle import Report


class WatchSession(Protocol):
    """The inbox as the watch needs it."""

    async def observe(self, owner: str, reach_seconds: float | None) -> FlowStanding | None:
        """Return how the flow stands; None for whoever does not hold its lane 0."""
        ...


class FlowWatch:
    """One flow's standing, as one process tells it, every so many seconds."""

    def __init__(
        self, flow: str, promise: Promise, report: Report, every_seconds: float, clock: Callable[[], float]
    ) -> None:
        self._flow = flow
        self._promise = promise
        self._report = report
        self._every_seconds = every_seconds
        self._clock = clock
        self._look_at = 0.0
        self._reach = Reach(clock)
        self._is_observing = False
        self._broken: set[Rule] = set()
        self._circuit_seen: datetime | None = None

    def seconds_left(self) -> float:
        """Return for how long nothing has to be looked at."""
        return max(self._look_at - self._clock(), 0.0)

    async def look(self, session: WatchSession, owner: str) -> None:
        """Look, when it is time to.

        Raises:
            Unavailable: the database is away.
        """
        if self.seconds_left() > 0:
            return
        self._look_at = self._clock() + self._every_seconds
        standing = await session.observe(owner, self._reach.begin(owner))
        self._reach.end(None if standing is None else standing.oldest_due_age_seconds)
        if standing is None:
            if self._is_observing:
                self._report(FlowUnobserved(self._flow))
            self._is_observing = False
            # Whoever looks from now on tells what it finds broken, and when that is over.
            self._broken = set()
            return
        self._tell_circuit(standing)
        self._is_observing = True
        broken = broken_rules(self._promise, standing)
        self._report(
            FlowObserved(
                self._flow,
                standing.circuit,
                standing.needs_a_person,
                standing.dead,
                standing.in_doubt,
                standing.blocked,
                standing.oldest_due_age_seconds,
                standing.oldest_waiting_age_seconds,
                standing.quiet_seconds,
                tuple(broken),
                standing.awaiting,
            )
        )
        self._tell_alerts(broken)

    def _tell_alerts(self, broken: Mapping[Rule, str]) -> None:
        """Tell what has changed since the last look."""
        for rule, text in broken.items():
            if rule not in self._broken:
                self._report(AlertRaised(self._flow, rule, text, self._promise.owner, self._promise.runbook))
        for rule in sorted(self._broken - broken.keys()):
            self._report(AlertOver(self._flow, rule))
        self._broken = set(broken)

    def _tell_circuit(self, standing: FlowStanding) -> None:
        """Tell what a person has changed, and with the first look also what was found open."""
        is_first = self._circuit_seen is None
        is_new = standing.changed_at != self._circuit_seen
        self._circuit_seen = standing.changed_at
        if is_new and (standing.circuit is not CircuitState.CLOSED if is_first else standing.changed_by is not None):
            self._report(
                CircuitSeen(self._flow, standing.circuit, standing.needs_a_person, standing.reason, standing.changed_by)
            )
