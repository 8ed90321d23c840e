"""The list of integrations, as the settings tell it, and what a flow's owner has left unsaid. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from outbox.config.audience import channels_of, unheard
from outbox.config.flows import Flow
from outbox.config.quantities import number_text, seconds_text
from outbox.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Integration:
    """One flow as auditors ask for it; every value is text for people, empty where the settings say nothing."""

    flow: str
    description: str
    direction: str
    source_of_truth: str
    events: str
    adapter: str
    connection: str
    target: str
    business_owner: str
    technical_owner: str
    expected: str
    late_after: str
    alerts_to: str
    tolerance: str
    reconciled: str
    dead_letters: str
    rate_limit: str
    runbook: str
    warnings: tuple[str, ...]


def inventory(settings: Settings) -> tuple[Integration, ...]:
    """Return all flows by name."""
    return tuple(_integration(name, flow, settings) for name, flow in sorted(settings.flows.items()))


def warnings_of(flow: Flow) -> tuple[str, ...]:
    """Return what somebody will ask for on the day something goes wrong, and nobody has decided."""
    said: Mapping[str, bool] = {
        "no owner: nobody knows whom to ask": flow.owner is not None,
        "no alert.late_after: nobody is told when it is late": flow.alert is not None,
        "no on_dead: nobody has decided whether a key waits behind its dead letter (block is assumed)": (
            "on_dead" in flow.model_fields_set
        ),
    }
    return tuple(warning for warning, is_said in said.items() if not is_said)


def _integration(name: str, flow: Flow, settings: Settings) -> Integration:
    owner, tolerance = flow.owner, flow.tolerance
    return Integration(
        flow=name,
        description=flow.description,
        direction=flow.direction,
        source_of_truth=flow.source_of_truth or "",
        events=", ".join(flow.events),
        adapter=flow.adapter.use,
        connection=flow.adapter.connection,
        target=settings.connections[flow.adapter.connection].base_url,
        business_owner="" if owner is None else owner.business,
        technical_owner="" if owner is None else owner.technical,
        expected="" if flow.expect_every is None else f"every {seconds_text(flow.expect_every)}",
        late_after="" if flow.alert is None else seconds_text(flow.alert.late_after),
        alerts_to=", ".join(channels_of(settings, flow)),
        tolerance=f"{tolerance.count} events, amount {tolerance.amount}",
        reconciled=(
            ""
            if flow.reconcile is None
            else f"every {seconds_text(flow.reconcile.every)}, {seconds_text(flow.reconcile.window)} each time"
        ),
        dead_letters=(
            f"after {flow.retry.attempts} attempts; a key behind one: {flow.on_dead}; late events: {flow.on_stale}"
        ),
        rate_limit="" if flow.rate_limit is None else f"{number_text(flow.rate_limit)}/s",
        runbook=flow.runbook or "",
        warnings=(*warnings_of(flow), *unheard(settings, name)),
    )
