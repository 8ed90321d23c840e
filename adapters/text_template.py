"""Texts such as ``order-{id}`` for queries and headers, filled from a document."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal

from adapters.json_text import MISSING, dig
from outbox.model.errors import MappingError

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[^.{}\s]+(\.[^.{}\s]+)*")
_HEADER = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


def problem_of(template: str) -> str | None:
    """Say what is wrong with a template, None when nothing is."""
    for name in names_in(template):
        if _NAME.fullmatch(name) is None:
            return f"placeholder {{{name}}} is not a dotted field name"
    if set("{}") & set(_PLACEHOLDER.sub("", template)):
        return "a brace stands for itself nowhere; write {field.name} for a field of the document"
    return None


def names_in(template: str) -> list[str]:
    """Return the fields that a template takes from the document."""
    return _PLACEHOLDER.findall(template)


def fill(template: str, document: Mapping[str, object], *, needed_by: str) -> str:
    """Return the text for a document.

    Raises:
        MappingError: a field is missing, or is a list or an object.
    """
    return _PLACEHOLDER.sub(_value_of(document, needed_by), template)


def fill_header(template: str, document: Mapping[str, object], *, name: str) -> str:
    """Return the header's value for a document.

    Raises:
        MappingError: as for `fill`, or the text cannot be a header.
    """
    text = fill(template, document, needed_by=f"the header {name}")
    if _HEADER.fullmatch(text) is None:
        # Also what would end the header and begin another.
        raise MappingError(", ".join(names_in(template)), f"has what the header {name} cannot carry: use ASCII text")
    return text


def _value_of(document: Mapping[str, object], needed_by: str) -> Callable[[re.Match[str]], str]:
    def value(match: re.Match[str]) -> str:
        found = dig(document, match[1])
        if found is MISSING or found is None:
            raise MappingError(match[1], f"is missing, and {needed_by} needs it")
        if isinstance(found, bool):
            return "true" if found else "false"
        if not isinstance(found, str | int | float | Decimal):
            raise MappingError(match[1], f"is neither text nor a number, and {needed_by} needs it")
        return str(found)

    return value
