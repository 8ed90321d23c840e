"""From the settings to what brings events to the versions that a flow knows."""

from __future__ import annotations

from collections.abc import Iterable

from outbox.config.settings import Flow, MappingField, Settings
from outbox.config.versions import CastSettings
from outbox.flow.casts import Casts, Step, Steps, gaps
from outbox.flow.contract import ContractKey
from outbox.flow.mapping import Mapping
from outbox.flow.mapping_rules import rules_of
from outbox.model.errors import Misconfigured
from outbox.model.versions import topic_of, version_of


def casts_of(settings: Settings, name: str) -> Casts:
    """Return what brings the events of a flow to the versions that it knows.

    Raises:
        Misconfigured: with every step that cannot be used, or leads nowhere.
    """
    flow: Flow = settings.flows[name]
    casts = Casts(flow.events, _steps("upcasters", settings.upcasters), _steps("downcasters", settings.downcasters))
    found = gaps(casts, {*casts.up, *casts.down})
    if found:
        problems = "\n".join(f"flows.{name}.events: {gap}" for gap in found)
        raise Misconfigured(problems, "add the step that is missing to upcasters or downcasters")
    return casts


def mapping_of(fields: Iterable[MappingField]) -> Mapping:
    """Compile the fields of a mapping.

    Raises:
        Misconfigured: with every problem.
    """
    return Mapping.compile(rules_of(fields))


def _steps(section: str, casts: dict[str, CastSettings]) -> Steps:
    steps: dict[ContractKey, Step] = {}
    for name, cast in casts.items():
        try:
            mapping = mapping_of(cast.mapping)
        except Misconfigured as error:
            raise Misconfigured(f"{section}.{name}: {error.problem}", error.next_step) from error
        steps[ContractKey(topic_of(name), version_of(name) or 0)] = Step(cast.to, mapping)
    return steps
