"""Bringing an event to the version that a flow knows, step by step. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from outbox.flow.contract import ContractKey
from outbox.flow.document import DOCUMENT
from outbox.model.contract import contract_name
from outbox.model.errors import MappingError
from outbox.model.exact_json import exact_number
from outbox.model.mapping import Map
from outbox.model.topics import is_routed
from outbox.model.versions import topic_of, version_of


@dataclass(frozen=True, slots=True)
class Step:
    """One step: to which version, by which mapping."""

    to: int
    mapping: Map


Steps = Mapping[ContractKey, Step]


@dataclass(frozen=True, slots=True)
class Casts:
    """The versions that a flow knows, by the patterns of its events, and the steps that lead to them."""

    patterns: Sequence[str]
    up: Steps
    down: Steps

    def __call__(self, event_type: str, version: int, payload: bytes) -> tuple[int, bytes]:
        """Return the version and payload that the flow takes; see `outbox.model.versions.Cast`.

        Raises:
            MappingError: no steps lead to a version that the flow knows, or a payload does not fit a step.
        """
        known = self.known(event_type)
        if not known or version in known:
            return version, payload
        for wanted in sorted(known, reverse=True):
            steps = self.path(ContractKey(event_type, version), wanted)
            if steps is not None:
                return wanted, _taken(steps, payload)
        name, versions = contract_name(event_type, version), " and ".join(map(str, sorted(known)))
        raise MappingError(
            DOCUMENT, f"is {name}, this flow takes version {versions}, and no upcaster or downcaster leads there"
        )

    def known(self, event_type: str) -> frozenset[int]:
        """Return the versions of a type that the flow knows; empty: it takes any as it is."""
        versions = {version_of(one) for one in self.patterns if is_routed([topic_of(one)], event_type)}
        return frozenset() if None in versions else frozenset(one for one in versions if one is not None)

    def path(self, key: ContractKey, wanted: int) -> Sequence[Step] | None:
        """Return the steps from a version to another, None: they do not lead there."""
        is_up = wanted > key.version
        found: list[Step] = []
        # Each step leads on in the same direction, so a walk ends: there, or where no step begins.
        while key.version != wanted:
            step = (self.up if is_up else self.down).get(key)
            if step is None:
                return None
            found.append(step)
            key = ContractKey(key.type, step.to)
        return found


def gaps(casts: Casts, keys: Iterable[ContractKey]) -> list[str]:
    """Return where steps begin that do not lead to a version which the flow knows, each in a sentence."""
    found = []
    for key in sorted(keys):
        known = casts.known(key.type)
        begun = [wanted for wanted in known if key in (casts.up if wanted > key.version else casts.down)]
        if known and key.version not in known and begun and not any(casts.path(key, one) for one in known):
            wanted = " or ".join(map(str, sorted(known)))
            found.append(f"the steps from {contract_name(*key)} do not lead to version {wanted}")
    return found


def _taken(steps: Sequence[Step], payload: bytes) -> bytes:
    for step in steps:
        document = step.mapping.apply(payload)
        try:
            payload = orjson.dumps(document, default=exact_number)
        except orjson.JSONEncodeError:
            # Its text may quote a value.
            raise MappingError(DOCUMENT, "cannot be written as JSON") from None
    return payload
