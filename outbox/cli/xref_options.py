"""What the verbs of the cross-reference are told alike."""

from __future__ import annotations

from outbox.cli.common import usage_problem
from outbox.model.xref import Registry, name_problem


def registry_of(entity: str, system: str) -> Registry:
    """Return what a command is about, or end because a name is none."""
    for name, value in (("entity", entity), ("system", system)):
        problem = name_problem(value)
        if problem is not None:
            usage_problem(f"the {name} {problem}")
    return Registry(entity, system)
