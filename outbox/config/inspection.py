"""A look at every value before the models see it: secrets are read, what models take too kindly is found."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from outbox.config.draft import Draft
from outbox.config.expected import Expected, Kind, expected_in, is_credential_name, is_number, is_secret, keys_of
from outbox.config.files import UnreadableFileError
from outbox.config.problems import Finding, KeyPath
from outbox.config.references import FILE_PREFIX, read_secret
from outbox.config.sentences import must_be

# No number that means something is longer; Python refuses some, and others would become infinite.
_MAX_NUMBER_CHARACTERS = 40


def inspected_sections(
    draft: Draft, model: type[BaseModel], data: Mapping[str, object], path: KeyPath
) -> dict[str, object]:
    """Return a copy of a model's data with the secrets in it resolved; what is wrong goes to the draft.

    Args:
        draft: learns which values are secrets and which may be shown.
        model: what the data is meant for.
        data: what was given.
        path: where the data stands, from the top of the settings.
    """
    top = [Expected(model)]
    return {key: _inspected(draft, expected_in(top, key), value, (*path, key)) for key, value in data.items()}


def _inspected(draft: Draft, expected: list[Expected], value: object, path: KeyPath) -> object:
    if isinstance(value, dict):
        for key, child in value.items():
            if isinstance(child, str) and not keys_of(expected) and is_credential_name(key):
                draft.secrets.add(child)
        return {key: _inspected(draft, expected_in(expected, key), child, (*path, key)) for key, child in value.items()}
    if isinstance(value, list):
        return [
            _inspected(draft, expected_in(expected, index), child, (*path, index)) for index, child in enumerate(value)
        ]
    if is_secret(expected):
        return _secret(draft, value, path)
    if isinstance(value, str) and (path in draft.substituted or value in draft.secrets):
        draft.secrets.add(value)
    elif expected and not any(one.kind in {Kind.MAPPING, Kind.LIST} for one in expected):
        # Text where a mapping or a list belongs may be a secret that belongs inside.
        draft.showable.add(path)
    if not is_number(expected) or draft.is_broken(path):
        return value
    # The models read true as 1, which nobody means.
    if isinstance(value, bool):
        draft.find(Finding(path, must_be(expected, value), is_about_value=True))
    elif len(str(value)) > _MAX_NUMBER_CHARACTERS:
        draft.find(Finding(path, must_be(expected, value), is_about_value=True))
        return None
    return value


def _secret(draft: Draft, value: object, path: KeyPath) -> object:
    if not isinstance(value, str) or draft.is_broken(path):
        return value
    if not value:
        draft.find(Finding(path, "must not be empty"))
    elif value.startswith(FILE_PREFIX):
        try:
            value = read_secret(value, draft.reader)
        except UnreadableFileError as error:
            draft.find(Finding(path, str(error)))
    draft.secrets.add(value)
    return value
