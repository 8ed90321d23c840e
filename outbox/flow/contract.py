"""Contracts of event types, compiled once, and the check of a payload against them. Pure: no file, no network.

The validator is jsonschema-rs: JSON Schema 2020-12 with exact numbers (``0.07`` is a multiple of ``0.01``, an integer
of 19 digits is itself), regular expressions in linear time, and no retrieval of anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, Protocol

import jsonschema_rs

from outbox.flow.contract_body import UnreadableBody, parse_body
from outbox.model.contract import Violation

# What stands in an error in place of a value.
MASK = "…"
_UNNAMED = "*"
_KINDS: Mapping[type, str] = {
    type(None): "null",
    bool: "a boolean",
    str: "a string",
    int: "a number",
    float: "a number",
    Decimal: "a number",
    list: "a list",
    dict: "an object",
}
# Rules whose demand is one short value of the schema, as it stands there.
_SHORT_DEMANDS = frozenset(
    {
        *("type", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
    }
)


class ContractKey(NamedTuple):
    """Which contract: the type of an event and the version of its payload."""

    type: str
    version: int


class Validator(Protocol):
    """A compiled schema."""

    def validate(self, instance: object) -> None:
        """Return when the instance is valid; raise what is wrong first."""
        ...


@dataclass(frozen=True, slots=True)
class Contract:
    """One contract.

    ``file`` is its path in the directory, ``schema`` the file's JSON, ``names`` are the properties that it and what it
    refers to declare. ``deprecated_on`` is the day from which nobody should send it any more.
    """

    key: ContractKey
    file: str
    schema: Mapping[str, object]
    validator: Validator
    names: frozenset[str]
    deprecated_on: str | None = None


@dataclass(frozen=True, slots=True)
class ContractSet:
    """All contracts of a directory, and its files by path. Empty where there is none."""

    contracts: Mapping[ContractKey, Contract]
    schemas: Mapping[str, Mapping[str, object]]

    def contract(self, event_type: str, version: int) -> Contract | None:
        """Return the contract of a type and version, or None: there is none."""
        return self.contracts.get(ContractKey(event_type, version))

    def versions(self, event_type: str) -> Sequence[int]:
        """Return the versions of a type that have a contract, in order."""
        return sorted(key.version for key in self.contracts if key.type == event_type)


NO_CONTRACTS = ContractSet({}, {})


def check(contracts: ContractSet, event_type: str, version: int, body: bytes) -> Sequence[Violation]:
    """Return how a payload breaks the contract of its type and version; nothing: it keeps it, or there is none.

    The first violation is returned and no other: a list of a million wrong entries would be a million violations.
    Whether a type may be without a contract is the caller's to say; see `ContractSet.contract`.

    Args:
        contracts: as `compile_contracts` makes them.
        event_type: ``order.confirmed``.
        version: of the payload, from 1.
        body: the payload's exact bytes.
    """
    contract = contracts.contract(event_type, version)
    return () if contract is None else check_body(contract, body)


def check_body(contract: Contract, body: bytes, *, shows_names: bool = False) -> Sequence[Violation]:
    """Return how a payload breaks this contract; with ``shows_names`` also by names that are the payload's own."""
    try:
        value = parse_body(body)
    except UnreadableBody as unreadable:
        return (unreadable.violation,)
    return violations_of(contract.validator, value, None if shows_names else contract.names)


def violations_of(validator: Validator, value: object, names: frozenset[str] | None = None) -> Sequence[Violation]:
    """Return how a value breaks a schema: the first violation, or nothing.

    Args:
        validator: of the schema.
        value: JSON, numbers with a fraction as `Decimal`.
        names: those that may be shown, None: all of them.
    """
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        return (_violation(error, names),)
    return ()


def kind_of(value: object) -> str:
    """Name the kind of a JSON value, without its content."""
    return _KINDS.get(type(value), "a value")


def _violation(error: jsonschema_rs.ValidationError, names: frozenset[str] | None) -> Violation:
    rule = next((part for part in reversed(error.schema_path) if isinstance(part, str)), "")
    path = list(error.instance_path)
    found, wanted = kind_of(error.instance), None
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Required(missing):
            # The place of what is missing says more than the place of what it is missing in.
            path.append(missing)
            found = "nothing"
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties(unexpected) | (
            jsonschema_rs.ValidationErrorKind.UnevaluatedProperties(unexpected)
        ):
            path.append(unexpected[0] if names is None and unexpected else _UNNAMED)
            found = "a property that the contract does not have"
        case jsonschema_rs.ValidationErrorKind.FalseSchema():
            rule, found = "false", f"{found} where nothing is allowed"
        case jsonschema_rs.ValidationErrorKind.PropertyNames():
            rule = "propertyNames"
        case _ if rule in _SHORT_DEMANDS:
            wanted = _demand(error.kind)
    return Violation(_pointer(path, names), rule, found, wanted)


def _demand(kind: jsonschema_rs.ValidationErrorKind) -> str:
    demanded = kind.value
    return " or ".join(map(str, demanded)) if isinstance(demanded, list) else str(demanded)


def _pointer(path: Sequence[str | int], names: frozenset[str] | None) -> str:
    return "".join(
        f"/{_escaped(part) if names is None or isinstance(part, int) or part in names else _UNNAMED}" for part in path
    )


def _escaped(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
