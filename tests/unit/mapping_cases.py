"""What the tests of mappings share: rules as they stand in a file, a document as JSON, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping as Known

import pytest
from pydantic import TypeAdapter

from outbox.config.mapping import MappingField
from outbox.flow.mapping import Mapping
from outbox.flow.mapping_rules import rules_of
from outbox.model.errors import MappingError, Misconfigured
from outbox.model.mapping import Reference

_RULES = TypeAdapter(tuple[MappingField, ...])
Rule = dict[str, object]


def compiled(*rules: Rule) -> Mapping:
    return Mapping.compile(rules_of(_RULES.validate_python(list(rules))))


def mapped(payload: str, *rules: Rule) -> dict[str, object]:
    return compiled(*rules).apply(payload.encode())


def changed(value: str, transform: object) -> object:
    """Return what transforms make of a value that is given as JSON; None where it counts as missing."""
    rule = {"source_field": "v", "target_field": "v", "transform": transform}
    return mapped(f'{{"v": {value}}}', rule).get("v")


def refused(payload: str, *rules: Rule, resolved: Known[Reference, str] | None = None) -> tuple[str, str | None, str]:
    """Return source, target and reason of the error."""
    with pytest.raises(MappingError) as caught:
        compiled(*rules).apply(payload.encode(), resolved or {})
    return caught.value.field, caught.value.target, caught.value.reason


def reason(value: str, transform: object) -> str:
    rule = {"source_field": "v", "target_field": "v", "transform": transform}
    return refused(f'{{"v": {value}}}', rule)[2]


def problems(*rules: Rule) -> str:
    with pytest.raises(Misconfigured) as caught:
        compiled(*rules)
    return caught.value.problem
