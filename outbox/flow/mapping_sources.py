"""Where the value of a rule comes from: a path, an expression, a template, a place in a list, or nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from outbox.flow.document import kind_of
from outbox.flow.mapping_numbers import as_string
from outbox.flow.mapping_run import Scope
from outbox.flow.refused import Refused, expected
from outbox.model.expressions import Expression, Unanswerable
from outbox.model.mapping import MISSING
from outbox.model.paths import EACH, Path, Step, steps_text
from outbox.model.templates import Template


@dataclass(frozen=True, slots=True)
class PathSource:
    """A plain path without ``[]``.

    An absent or null parent makes a value missing; a parent of another kind is an error even where the value is
    optional, because a changed payload must not quietly become a document without it.
    """

    path: Path
    _steps: tuple[Step, ...] = field(init=False)
    # Most paths are one name of where the rule stands.
    _name: str | None = field(init=False)

    def __post_init__(self) -> None:
        steps = self.path.steps
        object.__setattr__(self, "_steps", steps)
        is_name = len(steps) == 1 and isinstance(steps[0], str) and not self.path.is_from_document
        object.__setattr__(self, "_name", steps[0] if is_name else None)

    def read(self, scope: Scope) -> object:
        """See `Source.read`."""
        value = scope.value
        if self._name is not None and value.__class__ is dict:
            return value.get(self._name, MISSING)
        found: object = scope.run.document if self.path.is_from_document else scope.value
        for step in self._steps:
            if found.__class__ is dict and step.__class__ is str:
                found = found.get(step, MISSING)
            elif found.__class__ is list and step.__class__ is int:
                found = found[step] if -len(found) <= step < len(found) else MISSING
            elif found is None or found is MISSING:
                return MISSING
            else:
                raise self._refusal(scope)
        return found

    def where(self, scope: Scope, entry: int | None = None) -> str:
        """See `Source.where`."""
        text = steps_text(self.path.steps) + ("" if entry is None else f"[{entry}]")
        return text if self.path.is_from_document else scope.source_path(text)

    def _refusal(self, scope: Scope) -> Refused:
        start = scope.run.document if self.path.is_from_document else scope.value
        done, found = walk(start, self._steps)
        parent = PathSource(Path(self._steps[:done], self.path.is_from_document)).where(scope)
        return _wrong_parent(parent, found, self._steps[done])


@dataclass(frozen=True, slots=True)
class ListSource:
    """A plain path with ``[]``: a value for each entry. Entries without it are left out; a missing list is missing."""

    path: Path

    def read(self, scope: Scope) -> object:
        """See `Source.read`."""
        first, _ = self._split()
        start = scope.run.document if self.path.is_from_document else scope.value
        if PathSource(first).read(scope) in (None, MISSING):
            return MISSING
        return [value for _, value in self._entries(scope, start, (), self.path.steps)]

    def where(self, scope: Scope, entry: int | None = None) -> str:
        """See `Source.where`; entries are counted without those that were left out."""
        if entry is None:
            return self._text(scope, self.path.steps)
        start = scope.run.document if self.path.is_from_document else scope.value
        for number, (steps, _) in enumerate(self._entries(scope, start, (), self.path.steps)):
            if number == entry:
                return self._text(scope, steps)
        return self._text(scope, self.path.steps)

    def _split(self) -> tuple[Path, Path]:
        parts = self.path.split()
        assert parts is not None  # noqa: S101 - a path without [] has another source
        return parts

    def _text(self, scope: Scope, steps: Sequence[Step]) -> str:
        text = steps_text(steps)
        return text if self.path.is_from_document else scope.source_path(text)

    def _entries(
        self, scope: Scope, start: object, done: tuple[Step, ...], steps: tuple[Step, ...]
    ) -> Iterator[tuple[tuple[Step, ...], object]]:
        """Yield every value with its steps from the start."""
        place = steps.index(EACH) if EACH in steps else len(steps)
        walked, found = walk(start, steps[:place])
        here = (*done, *steps[:place])
        if walked < place and found not in (None, MISSING):
            raise _wrong_parent(self._text(scope, (*done, *steps[:walked])), found, steps[walked])
        if walked < place or found is MISSING:
            return
        if place == len(steps):
            yield here, found
            return
        if found is None:
            return
        if not isinstance(found, list):
            raise Refused(f"{self._text(scope, here)!r} is {kind_of(found)}, expected a list")
        for number, entry in enumerate(found):
            if isinstance(entry, list):
                raise Refused(f"{self._text(scope, (*here, number))!r} is a list inside of a list")
            yield from self._entries(scope, entry, (*here, number), steps[place + 1 :])


@dataclass(frozen=True, slots=True)
class ExpressionSource:
    """Any other expression; null is what it says for missing."""

    expression: Expression

    def read(self, scope: Scope) -> object:
        """See `Source.read`."""
        try:
            answer = self.expression.evaluate(scope.value)
        except Unanswerable as error:
            raise Refused(f"cannot be evaluated: it {error}") from None
        return MISSING if answer is None else answer

    def where(self, scope: Scope, entry: int | None = None) -> str:
        """See `Source.where`."""
        text = self.expression.text + ("" if entry is None else f"[{entry}]")
        return scope.source_path(text)


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """A text put together. With one part missing or null, all of it is missing."""

    template: Template
    _parts: tuple[str | PathSource, ...] = field(init=False)

    def __post_init__(self) -> None:
        parts = tuple(part if isinstance(part, str) else PathSource(part) for part in self.template.parts)
        object.__setattr__(self, "_parts", parts)

    def read(self, scope: Scope) -> object:
        """See `Source.read`."""
        texts: list[str] = []
        for part in self._parts:
            if isinstance(part, str):
                texts.append(part)
                continue
            value = part.read(scope)
            if value is None or value is MISSING:
                return MISSING
            try:
                texts.append(str(as_string(value)))
            except Refused as refused:
                raise Refused(refused.reason, part.where(scope)) from None
        return "".join(texts)

    def where(self, scope: Scope, entry: int | None = None) -> str:  # noqa: ARG002 - a text has no entries
        """Return the part that is missing, if one is, else all parts."""
        parts = [part for part in self._parts if isinstance(part, PathSource)]
        absent = [part for part in parts if not _is_there(part, scope)]
        return ", ".join(part.where(scope) for part in absent or parts)


@dataclass(frozen=True, slots=True)
class PositionSource:
    """The place of the entry in its list, counted from a number."""

    start: int

    def read(self, scope: Scope) -> object:
        """See `Source.read`."""
        return MISSING if scope.place is None else scope.place + self.start

    def where(self, scope: Scope, entry: int | None = None) -> str:  # noqa: ARG002 - a number has no entries
        """See `Source.where`."""
        return scope.source_path("@")


@dataclass(frozen=True, slots=True)
class NoSource:
    """A constant: the rule's default."""

    def read(self, scope: Scope) -> object:  # noqa: ARG002 - there is nothing to read
        """See `Source.read`."""
        return MISSING

    def where(self, scope: Scope, entry: int | None = None) -> str:  # noqa: ARG002 - it stands nowhere
        """See `Source.where`."""
        return ""


def _is_there(part: PathSource, scope: Scope) -> bool:
    try:
        value = part.read(scope)
    except Refused:
        return False
    return value is not None and value is not MISSING


def walk(found: object, steps: Sequence[Step]) -> tuple[int, object]:
    """Go as far as the kinds allow; return how many steps were taken and what is there."""
    for done, step in enumerate(steps):
        if isinstance(found, dict) and isinstance(step, str):
            found = found.get(step, MISSING)
        elif isinstance(found, list) and isinstance(step, int):
            found = found[step] if -len(found) <= step < len(found) else MISSING
        else:
            return done, found
    return len(steps), found


def _wrong_parent(path: str, found: object, step: Step) -> Refused:
    wanted = "an object" if isinstance(step, str) else "a list"
    if path in ("", "@"):
        return expected(wanted, found)
    return Refused(f"{path!r} is {kind_of(found)}, expected {wanted}")
