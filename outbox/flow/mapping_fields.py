"""The compiled rules: what each puts into the target's document."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from outbox.flow.mapping_run import Scope, Source, Trace
from outbox.flow.mapping_sources import NoSource, PositionSource, TemplateSource
from outbox.flow.mapping_transforms import Step
from outbox.flow.refused import Refused, expected
from outbox.model.awaited import Lack
from outbox.model.errors import MappingError, ReferenceMissing
from outbox.model.expressions import Expression, Unanswerable
from outbox.model.mapping import MISSING, Reference, Wanted

# Of these a list, null or nothing can come.
_MAY_END = frozenset({"split", "table", "empty_is_missing"})


class _Pending(Exception):
    """The id that another system gave to a record is still to be looked up."""


@dataclass(frozen=True, slots=True)
class CompiledField:
    """One rule. ``leaf`` is set in the object that ``parents`` lead to; ``target`` is both as people write it."""

    source: Source
    parents: tuple[str, ...]
    leaf: str
    target: str
    steps: tuple[Step, ...] = ()
    fields: tuple[Node, ...] = ()
    when: Expression | None = None
    default: object = MISSING
    is_required: bool = False
    null_is_missing: bool = False
    is_list: bool = False
    # The steps, where nothing has to be looked at between them: neither list, null nor missing can come out of one.
    quick: tuple[Callable[[object], object], ...] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        is_quick = all(not step.takes_lists and step.xref is None for step in self.steps)
        if is_quick and all(step.name not in _MAY_END for step in self.steps[:-1]):
            object.__setattr__(self, "quick", tuple(step.call for step in self.steps))

    def put(self, scope: Scope, made: dict[str, object]) -> bool:
        """Put the value into the document that is being made; say whether the rule held.

        Raises:
            MappingError: naming the source path, and never what was found there.
        """
        if self.when is not None and not self._holds(scope):
            if scope.run.traces is not None:
                self._trace(scope, "left out by when", MISSING, MISSING)
            return False
        value = self._value(scope)
        if value is not MISSING:
            for name in self.parents:
                # The conflict check leaves only objects made here as parents.
                made = made.setdefault(name, {})  # type: ignore[assignment]
            made[self.leaf] = value
        return True

    def _holds(self, scope: Scope) -> bool:
        assert self.when is not None  # noqa: S101 - asked before
        try:
            return self.when.holds(scope.value)
        except Unanswerable as error:
            raise self._error(scope, scope.source_path(self.when.text), f"cannot be evaluated: it {error}") from None

    def _value(self, scope: Scope) -> object:
        try:
            found = raw = self.source.read(scope)
            if found is None:
                if self.null_is_missing:
                    found = MISSING
            elif found is not MISSING and (self.steps or self.fields):
                found = self._worked(scope, found)
        except Refused as refused:
            raise self._error(scope, refused.source or self.source.where(scope), refused.reason) from None
        except _Pending:
            return MISSING
        origin = ""
        if found is MISSING:
            found = self._stand_in(scope)
            origin = "missing" if found is MISSING else "default"
        elif found is None and self.is_required:
            raise self._error(scope, self.source.where(scope), "is null")
        # Of a block every field is told, and so is one that makes nothing.
        if scope.run.traces is not None and not (self.fields and isinstance(found, dict | list)):
            self._trace(scope, origin, raw, found)
        return found

    def _stand_in(self, scope: Scope) -> object:
        """Return what a missing value is replaced by."""
        if self.is_required:
            raise self._error(scope, self.source.where(scope), "is missing")
        # A copy: one delivery's document must never change another's.
        return copy.deepcopy(self.default) if isinstance(self.default, dict | list) else self.default

    def _worked(self, scope: Scope, found: object) -> object:
        """Return what block and transforms make of a value."""
        if self.fields:
            found = self._entries(scope, found)
        if self.quick is None or found.__class__ is list:
            return self._transformed(scope, found)
        for call in self.quick:
            found = call(found)
        return found

    def _entries(self, scope: Scope, found: object) -> object:
        """Make an object of an object, or a list of objects of a list."""
        match found:
            case dict() if not self.is_list:
                return self._entry(Scope(found, scope.run, scope, self))
            case list():
                scope.run.spend(len(found) * len(self.fields))
                return [self._entry(Scope(entry, scope.run, scope, self, n)) for n, entry in enumerate(found)]
            case _:
                raise expected("a list" if self.is_list else "an object or a list", found)

    def _entry(self, scope: Scope) -> dict[str, object]:
        made: dict[str, object] = {}
        for one in self.fields:
            one.put(scope, made)
        return made

    def _transformed(self, scope: Scope, found: object) -> object:
        # Where in the source's list each entry stood, None: the list was made by a transform.
        places: Sequence[int] | None = range(len(found)) if isinstance(found, list) else None
        for step in self.steps:
            if found is None or found is MISSING:
                return found
            if step.takes_lists:
                found, places = step.call(found), None
            elif isinstance(found, list):
                found, places = self._each(scope, step, found, places)
            else:
                found = self._one(scope, step, found, None)
        return found

    def _each(
        self, scope: Scope, step: Step, found: Sequence[object], places: Sequence[int] | None
    ) -> tuple[object, Sequence[int] | None]:
        """Return what a transform makes of each entry, and where those stood that it has not dropped."""
        changed: list[object] = []
        kept: list[int] = []
        is_pending = False
        for number, entry in enumerate(found):
            place = None if places is None else places[number]
            try:
                value = None if entry is None else self._one(scope, step, entry, place)
            except _Pending:
                # The others are needed as well: asking for all of them at once is one question, not many.
                is_pending = True
                continue
            except Refused as refused:
                where = None if place is None else self.source.where(scope, place)
                raise Refused(refused.reason, refused.source or where) from None
            if value is not MISSING:
                changed.append(value)
                if place is not None:
                    kept.append(place)
        if is_pending:
            raise _Pending
        return changed, None if places is None else kept

    def _one(self, scope: Scope, step: Step, value: object, place: int | None) -> object:
        changed = step.call(value)
        if step.xref is None:
            return changed
        reference = Reference(step.xref.entity, step.xref.system, str(changed), Wanted(step.xref.to))
        known = scope.run.resolved.get(reference)
        if known is not None:
            return known
        if scope.run.needed is not None:
            scope.run.needed.add(reference)
            raise _Pending
        missing = ReferenceMissing(
            self.source.where(scope, place),
            scope.target_path(self.target),
            entity=reference.entity,
            system=reference.system,
            key=reference.key,
            wants_key=reference.to is Wanted.KEY,
        )
        if scope.run.lacks is None:
            raise missing
        scope.run.lacks.append(Lack(reference, step.xref.patience(), missing))
        raise _Pending

    def _error(self, scope: Scope, source: str, reason: str) -> MappingError:
        return MappingError(source or self.target, reason, scope.target_path(self.target))

    def _trace(self, scope: Scope, origin: str, found: object, value: object) -> None:
        assert scope.run.traces is not None  # noqa: S101 - asked before
        match self.source:
            case NoSource():
                usual = "constant"
            case TemplateSource():
                usual = "template"
            case PositionSource():
                usual = "position"
            case _:
                usual = "event"
        scope.run.traces.append(
            Trace(
                scope.target_path(self.target),
                usual if isinstance(self.source, NoSource) or not origin else origin,
                self.source.where(scope) or None,
                tuple(step.told() for step in self.steps),
                found,
                value,
            )
        )


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Rules for the same field: the first whose condition holds is taken, with a value or without."""

    fields: tuple[CompiledField, ...]

    def put(self, scope: Scope, made: dict[str, object]) -> bool:
        """See `CompiledField.put`."""
        return any(one.put(scope, made) for one in self.fields)


Node = CompiledField | Alternatives
