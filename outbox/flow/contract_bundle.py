"""Contracts as parts of one document: every file under a name, and references that hold there. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from outbox.flow.contract import ContractSet
from outbox.flow.contract_keywords import ONE_SCHEMA, SCHEMA_LISTS, SCHEMA_MAPS, every_schema
from outbox.flow.contract_refs import Schemas, target_of
from outbox.flow.contract_set import contract_key


def bundled(contracts: ContractSet, place: str) -> dict[str, dict[str, object]]:
    """Return the schema of every file by the name that `bundle_name` gives it.

    Args:
        contracts: all files; what no contract refers to is there, too.
        place: the JSON Pointer of a bundled schema in the document, with ``{}`` for its name.
    """
    schemas = contracts.schemas
    return {bundle_name(file): _rewritten(schemas, file, schema, place) for file, schema in sorted(schemas.items())}


def bundle_name(file: str) -> str:
    """Return the name of a file's schema: ``order.confirmed.v1``, ``_shared.money``."""
    key = contract_key(file)
    return file.removesuffix(".json").replace("/", ".") if key is None else f"{key.type}.v{key.version}"


def _rewritten(schemas: Schemas, file: str, schema: Mapping[str, object], place: str) -> dict[str, object]:
    return {word: _member(schemas, file, word, value, place) for word, value in schema.items() if word != "$schema"}


def _member(schemas: Schemas, file: str, word: str, value: object, place: str) -> object:
    def below(member: object) -> object:
        return _rewritten(schemas, file, member, place) if isinstance(member, dict) else member

    if word == "$ref" and isinstance(value, str):
        target = target_of(file, value)
        return f"#{place.format(bundle_name(target.file))}{_pointer(schemas, target.file, target.fragment)}"
    if word in ONE_SCHEMA:
        return below(value)
    if word in SCHEMA_LISTS and isinstance(value, list):
        return [below(member) for member in value]
    if word in SCHEMA_MAPS and isinstance(value, dict):
        return {name: below(member) for name, member in value.items()}
    return value


def _pointer(schemas: Schemas, file: str, fragment: str) -> str:
    """Return the JSON Pointer that a fragment means; anchors do not hold outside of their document."""
    if not fragment or fragment.startswith("/"):
        return fragment
    for path, schema in every_schema(schemas[file]):
        if fragment in {schema.get("$anchor"), schema.get("$dynamicAnchor")}:
            return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
    return ""
