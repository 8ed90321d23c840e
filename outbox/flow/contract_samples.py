"""Samples of payloads on the way that events go: contract, each flow's mapping, the target's own schema. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import jsonschema_rs

from outbox.flow.contract import Contract, ContractKey, ContractSet, Validator, check_body, violations_of
from outbox.flow.document import kind_of, parse_document
from outbox.flow.placeholders import ReferringMap, placeholders
from outbox.model.contract import contract_name
from outbox.model.errors import MappingError
from outbox.model.mapping import Reference, Wanted
from outbox.model.topics import is_routed
from outbox.model.versions import Cast
from outbox.model.xref import id_problem


@dataclass(frozen=True, slots=True)
class Sample:
    """One payload, of a type and version; ``file`` is where it stands."""

    file: str
    key: ContractKey
    body: bytes


@dataclass(frozen=True, slots=True)
class SampledFlow:
    """A flow as its samples see it. ``target`` is the schema of its target's documents, None: there is none."""

    name: str
    topics: Sequence[str]
    cast: Cast
    mapping: ReferringMap
    target: Validator | None


@dataclass(frozen=True, slots=True)
class Failure:
    """One sample that does not get through. ``step``: the contract, or a flow's mapping or target."""

    file: str
    step: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {self.step}: {self.text}"


@dataclass(slots=True)
class Passage:
    """What became of samples. ``stand_ins``: the ids of other systems that no links told, and what stood for them."""

    failures: list[Failure] = field(default_factory=list)
    stand_ins: dict[Reference, str] = field(default_factory=dict)


def links_of(text: bytes) -> dict[Reference, str]:
    """Return the ids that samples bring along: of each system, of each entity, by key; and the keys by id.

    Raises:
        MappingError: it is no such JSON.
    """
    links: dict[Reference, str] = {}
    for system, entities in parse_document(text).items():
        for entity, ids in _members(entities, system):
            owners: dict[str, str] = {}
            for key, external_id in _members(ids, f"{system}.{entity}"):
                name = f"{system}.{entity}.{key}"
                if not isinstance(external_id, str):
                    raise MappingError(name, f"is {kind_of(external_id)}, expected a string")
                # As in the cross-reference itself: what could not be linked proves nothing.
                if (problem := id_problem(external_id)) is not None:
                    raise MappingError(name, problem)
                if owners.setdefault(external_id, key) != key:
                    raise MappingError(name, f"has the id of {owners[external_id]}")
                links[Reference(entity, system, key)] = external_id
                links[Reference(entity, system, external_id, Wanted.KEY)] = key
    return links


def target_validator(text: str) -> Validator:
    """Compile the schema of a target's documents. It is its owner's: in any version of JSON Schema, with any pattern.

    Raises:
        ValueError: it is no schema, or refers to another place; nothing is fetched.
    """
    try:
        return jsonschema_rs.validator_for(text, offline=True, validate_formats=True)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        said = str(error).partition("\n")[0]
        raise ValueError(f"is no JSON Schema that can be used: {said}") from error


def passage(
    samples: Sequence[Sample], contracts: ContractSet, flows: Sequence[SampledFlow], links: Mapping[Reference, str]
) -> Passage:
    """Send every sample through every step, and return which steps stop it.

    Args:
        samples: the payloads.
        contracts: what payloads must look like.
        flows: whose steps, mappings and targets they meet.
        links: ids of other systems; for any other a text stands in.
    """
    found = Passage()
    for sample in samples:
        found.failures += _contract_failures(sample, contracts)
        for flow in flows:
            if is_routed(flow.topics, sample.key.type):
                stand_ins: dict[Reference, str] = {}
                found.failures += _through(sample, contracts, flow, links, stand_ins)
                found.stand_ins |= stand_ins
    return found


def missing(samples: Sequence[Sample], contracts: ContractSet, flows: Sequence[SampledFlow]) -> list[str]:
    """Return what no sample proves: contracts, and flows, each in a sentence."""
    sampled = {sample.key for sample in samples}
    types = {key.type for key in sampled}
    return [
        *(f"contract {contract_name(*key)} has no sample" for key in sorted(contracts.contracts.keys() - sampled)),
        *(f"flow {flow.name} has no sample" for flow in flows if not any(is_routed(flow.topics, one) for one in types)),
    ]


def _contract_failures(sample: Sample, contracts: ContractSet) -> Iterator[Failure]:
    contract = contracts.contracts.get(sample.key)
    step = f"contract {contract_name(*sample.key)}"
    if contract is not None:
        # A sample is its author's own: the names in it may be shown.
        for violation in check_body(contract, sample.body, shows_names=True):
            yield Failure(sample.file, step, str(violation))
    elif contracts.contracts:
        yield Failure(sample.file, step, "there is no such contract")


def _through(
    sample: Sample,
    contracts: ContractSet,
    flow: SampledFlow,
    links: Mapping[Reference, str],
    stand_ins: dict[Reference, str],
) -> Iterator[Failure]:
    try:
        version, body = flow.cast(*sample.key, sample.body)
        if version != sample.key.version:
            yield from _cast_well(sample, contracts.contract(sample.key.type, version), body, flow)
        stand_ins.update(placeholders(flow.mapping, body, links))
        document = flow.mapping.apply(body, {**links, **stand_ins})
    except MappingError as error:
        yield Failure(sample.file, f"flow {flow.name}, mapping", str(error))
        return
    if flow.target is not None:
        for violation in violations_of(flow.target, document):
            yield Failure(sample.file, f"flow {flow.name}, target document", str(violation))


def _cast_well(sample: Sample, contract: Contract | None, body: bytes, flow: SampledFlow) -> Iterator[Failure]:
    """Compare what the steps to another version make of a sample with that version's contract."""
    if contract is not None:
        for violation in check_body(contract, body, shows_names=True):
            yield Failure(sample.file, f"flow {flow.name}, cast to {contract_name(*contract.key)}", str(violation))


def _members(value: object, name: str) -> Iterator[tuple[str, object]]:
    if not isinstance(value, dict):
        raise MappingError(name, f"is {kind_of(value)}, expected an object")
    yield from value.items()
