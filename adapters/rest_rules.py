"""Rules on what an answer says: the first that fits decides, before any status does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from adapters.answers import Answer
from adapters.json_text import MISSING, dig
from adapters.retry_after import MAX_AFTER_SECONDS
from adapters.settings_parts import DottedPath
from outbox.model.connection import broken_rule

StatusWord = Literal[
    "applied",
    "already_applied",
    "rejected",
    "retry",
    "throttled",
    "target_down",
    "configuration",
    "credentials_expired",
    "unknown",
    "stale_conflict",
]
StatusKey = Annotated[str, Field(pattern=r"^[2-5]([0-9][0-9]|xx)$")]

_ANY = "*"
# What is searched with a pattern is a stranger's.
_MAX_SEARCHED_CHARACTERS = 10_000
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
# Their bodies may be empty, and 202 promises nothing that a body could take back.
_WITHOUT_BODY = (202, 204, 205)


def _statuses(given: object) -> object:
    # YAML reads an unquoted 409 as a number; one status needs no list.
    entries = given if isinstance(given, list | tuple) else [given]
    return [str(entry) if type(entry) is int else entry for entry in entries]


_Given = Annotated[tuple[StatusKey | int, ...], Field(min_length=1)] | StatusKey | int
_Statuses = Annotated[tuple[StatusKey, ...], BeforeValidator(_statuses, json_schema_input_type=_Given)]


def _check_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise broken_rule(f"must be a regular expression: {error}") from None
    return pattern


class Condition(BaseModel):
    """What an answer must say.

    It fits when its ``status`` does, if it has one, and the value at its ``path``, if it has one: ``equals`` and
    ``contains`` compare text (numbers as they are written), ``matches`` searches for a pattern, ``present`` asks
    whether there is anything but null, false and nothing. ``*`` in a path stands for any entry of a list.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Annotated[_Statuses, Field(min_length=1)] | None = None
    path: DottedPath | None = None
    equals: str | int | bool | None = None
    contains: Annotated[str, Field(min_length=1)] | None = None
    matches: Annotated[str, Field(min_length=1), AfterValidator(_check_pattern)] | None = None
    present: bool | None = None

    @model_validator(mode="after")
    def _check_condition(self) -> Self:
        tests = [name for name in ("equals", "contains", "matches", "present") if name in self.model_fields_set]
        if self.status is None and self.path is None:
            raise broken_rule("required, unless there is a path", field="status")
        if self.path is not None and len(tests) != 1:
            raise broken_rule("needs one of equals, contains, matches and present beside it", field="path")
        if self.path is None and tests:
            raise broken_rule("needs the path of what it is about", field=tests[0])
        return self

    def fits(self, answer: Answer) -> bool:
        """Say whether an answer says so."""
        document = answer.document if self.path is not None else MISSING
        return _fits_status(self, answer.status) and (
            self.path is None or (document is not MISSING and _fits(self, document))
        )


class Rule(Condition):
    """When an answer means what.

    ``after``: where the answer says how many seconds to wait, ``message``: where it says why. ``scope`` and ``kind``
    belong to the outcome throttled: who is meant, and what there was too much of, which says how long to wait when
    nothing else does.
    """

    outcome: StatusWord
    after: DottedPath | None = None
    message: DottedPath | None = None
    scope: Literal["connection", "flow"] = "connection"
    kind: Literal["rate", "concurrency", "daily"] = "rate"

    @model_validator(mode="after")
    def _check_throttled(self) -> Self:
        for name in ("scope", "kind"):
            if name in self.model_fields_set and self.outcome != "throttled":
                raise broken_rule("belongs to the outcome throttled", field=name)
        return self


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rule that fits says."""

    outcome: StatusWord
    after_seconds: float | None = None
    message: str | None = None
    scope: Literal["connection", "flow"] = "connection"
    kind: Literal["rate", "concurrency", "daily"] = "rate"


def verdict(answer: Answer, rules: Sequence[Rule]) -> Verdict | None:
    """Return what the first rule that fits says, None when none does.

    A success whose body rules should have judged, and which cannot be read, is unknown: it may say that it failed.
    """
    document = answer.document if rules else MISSING
    for rule in rules:
        if not _fits_status(rule, answer.status):
            continue
        if rule.fits(answer):
            after_seconds, why = _seconds(rule, document), _message(rule, document)
            return Verdict(rule.outcome, after_seconds, why, rule.scope, rule.kind)
        if document is MISSING and answer.is_success and answer.status not in _WITHOUT_BODY:
            return Verdict("unknown", message="the answer that rules are about cannot be read")
    return None


def dig_all(document: object, path: str) -> Iterator[object]:
    """Yield the values at a dotted path, where ``*`` stands for any entry of a list."""
    head, star, tail = path.partition(_ANY)
    if not star:
        found = dig(document, path)
        if found is not MISSING:
            yield found
        return
    parent = dig(document, head.rstrip(".")) if head else document
    for entry in parent if isinstance(parent, list) else ():
        yield from dig_all(entry, tail.lstrip(".")) if tail else (entry,)


def _fits_status(rule: Condition, status: int) -> bool:
    return rule.status is None or not {str(status), f"{status // 100}xx"}.isdisjoint(rule.status)


def _fits(rule: Condition, document: object) -> bool:
    found = dig_all(document, rule.path or "")
    if rule.present is not None:
        return any(value not in (None, False, "", [], {}) for value in found) is rule.present
    texts = [text for value in found if (text := _text(value)) is not None]
    if rule.contains is not None:
        return any(rule.contains in text for text in texts)
    if rule.matches is not None:
        pattern = re.compile(rule.matches)
        return any(pattern.search(text[:_MAX_SEARCHED_CHARACTERS]) for text in texts)
    return _text(rule.equals) in texts


def _text(value: object) -> str | None:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str() | int():
            return str(value)
        case _:
            return None


def _seconds(rule: Rule, document: object) -> float | None:
    for text in _first_text(rule.after, document):
        if _SECONDS.fullmatch(text):
            return min(float(text), MAX_AFTER_SECONDS)
    return None


def _message(rule: Rule, document: object) -> str | None:
    return next(iter(_first_text(rule.message, document)), None)


def _first_text(path: str | None, document: object) -> Iterable[str]:
    if path is None or document is MISSING:
        return ()
    return [value for value in dig_all(document, path) if isinstance(value, str)][:1]
