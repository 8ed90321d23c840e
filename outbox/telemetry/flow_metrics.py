"""How flows stand in the database, as metrics. NaN in all processes but the one that looks for the others."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge

from outbox.model import flow_events, settings_events
from outbox.model import lifecycle as happened
from outbox.model.alerts import Rule
from outbox.model.circuit import CircuitState
from outbox.model.delivery import State
from outbox.model.lifecycle import Lifecycle

_UNKNOWN = float("nan")


class FlowMetrics:
    """Registers the metrics of the flows that a process consumes, and follows what is observed of them."""

    def __init__(self, registry: CollectorRegistry, flows: Iterable[str]) -> None:
        self._services = {f"apply {flow}": flow for flow in flows}
        self._circuit = Gauge(
            "inbox_circuit_state", "1 for the state that the flow's circuit is in.", ["flow", "state"],
            registry=registry,
        )  # fmt: skip
        self._needs_a_person = Gauge(
            "inbox_circuit_needs_a_person", "1 while a circuit is open and probing alone will hardly close it.",
            ["flow"], registry=registry,
        )  # fmt: skip
        self._parked = Gauge(
            "inbox_parked_deliveries", "Deliveries that wait for a person; 1000 means 1000 or more.",
            ["flow", "state"], registry=registry,
        )  # fmt: skip
        self._blocked = Gauge(
            "inbox_blocked_deliveries", "Deliveries that wait behind another of their key; 1000 means 1000 or more.",
            ["flow"], registry=registry,
        )  # fmt: skip
        self._oldest_due = Gauge(
            "inbox_oldest_due_age_seconds", "For how long the oldest delivery that is due has been; 0: none is.",
            ["flow"], registry=registry,
        )  # fmt: skip
        self._oldest_waiting = Gauge(
            "inbox_oldest_waiting_age_seconds", "For how long the oldest delivery that is not parked has waited.",
            ["flow"], registry=registry,
        )  # fmt: skip
        self._awaiting = Gauge(
            "inbox_awaiting_deliveries", "Deliveries that wait for ids of other systems; 1000 means 1000 or more.",
            ["flow"], registry=registry,
        )  # fmt: skip
        self._quiet = Gauge(
            "inbox_quiet_seconds", "For how long no message has come, to ten seconds.", ["flow"], registry=registry
        )
        self._alert = Gauge(
            "inbox_alert", "1 while the flow is not as its owner promised: late, quiet.", ["flow", "rule"],
            registry=registry,
        )  # fmt: skip
        for flow in flows:
            self._lost(flow)

    def __call__(self, event: Lifecycle) -> None:
        """Follow one event."""
        match event:
            case flow_events.FlowObserved():
                self._observe(event)
            case flow_events.FlowUnobserved(flow):
                self._lost(flow)
            case settings_events.FlowStarted(flow):
                self._services[f"apply {flow}"] = flow
                self._lost(flow)
            case settings_events.FlowStopped(flow):
                self._lost(flow)
            case happened.ServiceWaiting() if event.service in self._services:
                # Whoever applies the flow is the one that looks.
                self._lost(self._services[event.service])
            case _:
                pass

    def _observe(self, seen: flow_events.FlowObserved) -> None:
        for state in CircuitState:
            self._circuit.labels(seen.flow, state).set(state is seen.circuit)
        self._needs_a_person.labels(seen.flow).set(seen.needs_a_person)
        self._parked.labels(seen.flow, State.DEAD).set(seen.dead)
        self._parked.labels(seen.flow, State.IN_DOUBT).set(seen.in_doubt)
        self._blocked.labels(seen.flow).set(seen.blocked)
        self._awaiting.labels(seen.flow).set(seen.awaiting)
        self._oldest_due.labels(seen.flow).set(seen.oldest_due_age_seconds)
        self._oldest_waiting.labels(seen.flow).set(seen.oldest_waiting_age_seconds)
        self._quiet.labels(seen.flow).set(seen.quiet_seconds)
        for rule in Rule:
            self._alert.labels(seen.flow, rule).set(rule in seen.broken_rules)

    def _lost(self, flow: str) -> None:
        for circuit_state in CircuitState:
            self._circuit.labels(flow, circuit_state).set(_UNKNOWN)
        for state in (State.DEAD, State.IN_DOUBT):
            self._parked.labels(flow, state).set(_UNKNOWN)
        for rule in Rule:
            self._alert.labels(flow, rule).set(_UNKNOWN)
        for gauge in (self._needs_a_person, self._blocked, self._awaiting, self._oldest_due, self._oldest_waiting):
            gauge.labels(flow).set(_UNKNOWN)
        self._quiet.labels(flow).set(_UNKNOWN)
