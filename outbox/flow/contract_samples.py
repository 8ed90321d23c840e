"""Samples of payloads on the way that events go: contract, each flow's mapping, the target's own schema. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jsonschema_rs

from outbox.flow.contract import Contract, ContractKey, ContractSet, Validator, check_body, violations_of
from outbox.model.contract import contract_name
from outbox.model.errors import MappingError
from outbox.model.mapping import Map
from outbox.model.topics import is_routed
from outbox.model.versions import Cast


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
    mapping: Map
    target: Validator | None


@dataclass(frozen=True, slots=True)
class Failure:
    """One sample that does not get through. ``step``: the contract, or a flow's mapping or target."""

    file: str
    step: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {self.step}: {self.text}"


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


def failures(samples: Sequence[Sample], contracts: ContractSet, flows: Sequence[SampledFlow]) -> list[Failure]:
    """Return every sample that does not get through, with every step that stops it."""
    return [failure for sample in samples for failure in _failures(sample, contracts, flows)]


def missing(samples: Sequence[Sample], contracts: ContractSet, flows: Sequence[SampledFlow]) -> list[str]:
    """Return what no sample proves: contracts, and flows, each in a sentence."""
    sampled = {sample.key for sample in samples}
    types = {key.type for key in sampled}
    return [
        *(f"contract {contract_name(*key)} has no sample" for key in sorted(contracts.contracts.keys() - sampled)),
        *(f"flow {flow.name} has no sample" for flow in flows if not any(is_routed(flow.topics, one) for one in types)),
    ]


def _failures(sample: Sample, contracts: ContractSet, flows: Sequence[SampledFlow]) -> Iterator[Failure]:
    contract = contracts.contracts.get(sample.key)
    step = f"contract {contract_name(*sample.key)}"
    if contract is not None:
        # A sample is its author's own: the names in it may be shown.
        for violation in check_body(contract, sample.body, shows_names=True):
            yield Failure(sample.file, step, str(violation))
    elif contracts.contracts:
        yield Failure(sample.file, step, "there is no such contract")
    for flow in flows:
        if is_routed(flow.topics, sample.key.type):
            yield from _through(sample, contracts, flow)


def _through(sample: Sample, contracts: ContractSet, flow: SampledFlow) -> Iterator[Failure]:
    try:
        version, body = flow.cast(*sample.key, sample.body)
        if version != sample.key.version:
            yield from _cast_well(sample, contracts.contract(sample.key.type, version), body, flow)
        document = flow.mapping.apply(body)
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
