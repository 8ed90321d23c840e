"""Paths such as ``/deals/{deal.id}``, filled from a document. One placeholder never becomes two segments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from urllib.parse import quote

from adapters.json_text import MISSING, dig
from outbox.model.errors import MappingError

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[^.{}\s]+(\.[^.{}\s]+)*")
_STATIC = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*")

# Allowed bare in a segment, and left alone by the HTTP client; "+" is not: some servers read it as a space.
_SEGMENT_SAFE = "!$&'()*,;=:@"
_DOTS = (".", "..")


def problem_of(template: str) -> str | None:
    """Say what is wrong with a template, None when nothing is."""
    names: list[str] = _PLACEHOLDER.findall(template)
    for name in names:
        if _NAME.fullmatch(name) is None:
            return f"placeholder {{{name}}} is not a dotted field name"
    # Any segment may stand where a value will be.
    static = _PLACEHOLDER.sub("x", template)
    if not template.startswith("/"):
        return "a path starts with /"
    if _STATIC.fullmatch(static) is None:
        return "a path has URL characters only, without query; percent-encode others"
    if any(segment in _DOTS for segment in static.split("/")):
        return "a path has no . or .. segments"
    return None


def has_placeholder(template: str) -> bool:
    """Say whether the path addresses one record, rather than a collection."""
    return _PLACEHOLDER.search(template) is not None


def fill(template: str, document: Mapping[str, object]) -> str:
    """Return the path for a document, every value percent-encoded.

    Raises:
        MappingError: a field is missing, or cannot be part of a path.
    """
    path = _PLACEHOLDER.sub(lambda match: _segment(match[1], document), template)
    if any(segment in _DOTS for segment in path.split("/")):
        # Encoding does not help: servers and clients alike resolve %2E%2E too.
        raise MappingError(", ".join(_PLACEHOLDER.findall(template)), "would make a . or .. segment of the path")
    return path


def _segment(name: str, document: Mapping[str, object]) -> str:
    value = dig(document, name)
    if value is MISSING:
        raise MappingError(name, "is missing, and the path needs it")
    if isinstance(value, Decimal) and value.as_tuple().exponent == 0:
        # An integer too large for 64 bits.
        value = str(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise MappingError(name, "is neither text nor a whole number, and the path needs it")
    if value == "":
        # An empty segment would address the collection.
        raise MappingError(name, "is empty, and the path needs it")
    try:
        return quote(str(value), safe=_SEGMENT_SAFE)
    except UnicodeEncodeError:
        raise MappingError(name, "is not valid Unicode text") from None
