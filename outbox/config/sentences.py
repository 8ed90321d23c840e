"""What pydantic found, in plain sentences: what is allowed, with an example, never a secret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from outbox.config.draft import Draft
from outbox.config.environment import variable_for
from outbox.config.expected import Expected, Kind, expected_at, keys_of
from outbox.config.problems import Finding, KeyPath, did_you_mean, path_text
from outbox.config.rules import SENTENCE
from outbox.model.units import bare_number

_KEY_MARK = "[key]"
# Errors that are answered by what is allowed; other types are more special than that.
_ANSWERED_BY_KIND = frozenset(
    {
        *("bool_parsing", "float_parsing", "int_parsing", "int_parsing_size", "int_from_float", "finite_number"),
        *("bool_type", "dict_type", "float_type", "frozen_set_type", "int_type", "list_type", "mapping_type"),
        *("model_attributes_type", "model_type", "set_type", "string_type", "tuple_type"),
        *("greater_than", "greater_than_equal", "less_than", "less_than_equal"),
    }
)
_LENGTHS = {
    "string_too_short": ("at least", "min_length"),
    "string_too_long": ("at most", "max_length"),
    "too_short": ("at least", "min_length"),
    "too_long": ("at most", "max_length"),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What was validated: a model, what it was given, where that stands, and other keys at its top."""

    model: type[BaseModel]
    data: object
    prefix: KeyPath = ()
    also_known: tuple[str, ...] = ()


def add_findings(draft: Draft, error: ValidationError, subject: Subject) -> None:
    """Turn a model's errors into findings."""
    found: list[tuple[ErrorDetails, Finding]] = []
    for detail in error.errors(include_url=False):
        path = _path(detail, subject.data)
        if not draft.is_broken((*subject.prefix, *path)) and not _is_echo(detail):
            found.append((detail, _finding(draft, subject, detail, path)))
    for detail, finding in found:
        # A name says nothing about what it names, which is still to be judged.
        (draft.findings.append if _KEY_MARK in detail["loc"] else draft.find)(finding)


def must_be(expected: Sequence[Expected], value: object) -> str:
    """Return ``must be a whole number between 0 and 65535, for example 8080``."""
    allowed = " or ".join(dict.fromkeys(one.allowed() for one in expected))
    if value is None:
        return f"has no value; must be {allowed}{_example(expected)}"
    is_text_wanted = all(one.kind in {Kind.TEXT, Kind.SECRET} for one in expected)
    if is_text_wanted and isinstance(value, bool | int | float):
        return "must be text; put the value in quotes"
    return f"must be {allowed}{_example(expected)}"


def _finding(draft: Draft, subject: Subject, detail: ErrorDetails, path: KeyPath) -> Finding:
    whole = (*subject.prefix, *path)
    expected = expected_at(subject.model, path)
    value = detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            known = keys_of(expected_at(subject.model, path[:-1]))
            if len(path) == 1:
                known += subject.also_known
            others = f"known here are {', '.join(known)}"
            return Finding(whole, "unknown key", did_you_mean(path[-1], known) or others)
        case "missing":
            return Finding(whole, _required(draft, expected, whole))
        case _ if _KEY_MARK in detail["loc"]:
            return Finding(whole, _own_sentence(detail, []) or _foreign_sentence(draft, detail, is_open=True))
        case "literal_error":
            choices = [choice for one in expected for choice in one.choices]
            suggestion = did_you_mean(value, choices) if whole in draft.showable else None
            return Finding(whole, must_be(expected, value), suggestion, is_about_value=True)
        case _:
            is_open = whole in draft.showable or isinstance(value, dict | list)
            sentence = _own_sentence(detail, expected) or _foreign_sentence(draft, detail, is_open=is_open)
            return Finding(whole, sentence, is_about_value=True)


def _is_echo(detail: ErrorDetails) -> bool:
    """Say whether a list is called too short only because an entry of it is wrong, which is reported anyway."""
    value = detail["input"]
    return detail["type"] == "too_short" and isinstance(value, list) and len(value) >= _context(detail)["min_length"]


def _own_sentence(detail: ErrorDetails, expected: list[Expected]) -> str | None:
    """Say what is wrong in words that come from the field, if it says enough."""
    kind, context = detail["type"], _context(detail)
    if kind == SENTENCE:
        return str(context["sentence"])
    if kind in _LENGTHS:
        return _length(detail)
    if kind == "string_pattern_mismatch":
        return f"must match the pattern {context['pattern']}{_example(expected)}"
    kinds = {one.kind for one in expected}
    is_unit_error = kind == "value_error" and bool(kinds & {Kind.DURATION, Kind.SIZE})
    if is_unit_error and Kind.DURATION in kinds and bare_number(detail["input"]) is not None:
        return f"has no unit; {must_be(expected, detail['input'])}"
    is_answered = kind in _ANSWERED_BY_KIND and bool(kinds) and Kind.UNKNOWN not in kinds
    return must_be(expected, detail["input"]) if is_unit_error or is_answered else None


def _foreign_sentence(draft: Draft, detail: ErrorDetails, *, is_open: bool) -> str:
    """Use the words of others, but only where they cannot quote a secret."""
    if not is_open:
        return "has a value that is not allowed"
    error = _context(detail).get("error")
    text = detail["msg"].replace("Input should be", "must be") if error is None else str(error)
    return draft.masked(text)


def _required(draft: Draft, expected: list[Expected], path: KeyPath) -> str:
    variable = variable_for(path)
    advice = "" if variable is None else f"; set {variable} or {path_text(path)} in {draft.file_name}"
    allowed = "" if _example(expected) or not expected else f"; must be {expected[0].allowed()}"
    return f"required{advice}{_example(expected)}{allowed}"


def _length(detail: ErrorDetails) -> str:
    relation, name = _LENGTHS[detail["type"]]
    limit = int(_context(detail)[name])
    if limit == 1 and relation == "at least":
        return "must not be empty"
    one, many = ("character", "characters") if isinstance(detail["input"], str) else ("entry", "entries")
    return f"must have {relation} {limit} {one if limit == 1 else many}"


def _example(expected: Sequence[Expected]) -> str:
    example = next((text for one in expected if (text := one.example()) is not None), None)
    return "" if example is None else f", for example {example}"


def _context(detail: ErrorDetails) -> dict[str, Any]:
    return detail.get("ctx", {})


def _path(detail: ErrorDetails, data: object) -> KeyPath:
    """Return where an error is in the data: pydantic's location also names the members of unions."""
    path: list[str | int] = []
    here: Any = data
    for key in detail["loc"]:
        is_entry = isinstance(here, list) and isinstance(key, int) and key < len(here)
        if is_entry or (isinstance(here, dict) and key in here):
            here = here[key]
            path.append(key)
    if detail["type"] == "missing":
        path.append(detail["loc"][-1])
    elif detail["type"] == SENTENCE and "field" in _context(detail):
        path.append(_context(detail)["field"])
    return tuple(path)
