"""Data without the mistakes that are known, so that rules between the remaining fields can be judged as well."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from outbox.config.draft import Draft
from outbox.config.expected import Expected, expected_in, keys_of
from outbox.config.problems import KeyPath


def repaired_sections(draft: Draft, model: type[BaseModel], data: Mapping[str, object]) -> dict[str, object]:
    """Return a copy in which unknown keys are gone and fields that have an example have it.

    Fields with an example are addresses, which take no part in rules. Other wrong values stay wrong, so that no
    rule compares with a value that nobody wrote.
    """
    return _repaired(draft, [Expected(model)], data, ())


def _repaired(draft: Draft, expected: list[Expected], data: Mapping[str, object], path: KeyPath) -> dict[str, object]:
    copy: dict[str, object] = {}
    for key in dict.fromkeys((*data, *keys_of(expected))):
        value, child = data.get(key), expected_in(expected, key)
        is_broken = (*path, key) in draft.broken
        if is_broken and child and child[0].examples:
            copy[key] = child[0].examples[0]
        elif key in data and (child or not is_broken):
            copy[key] = _repaired(draft, child, value, (*path, key)) if isinstance(value, dict) else value
    return copy
