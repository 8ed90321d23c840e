"""What is wrong with the rules of one level: alone, where they fill lists, and together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from outbox.model.expressions import BadExpression, Expression
from outbox.model.paths import EACH, Path, Step, parse_path, parse_source, steps_text

Steps = tuple[Step, ...]
# The number of a rule, and what is wrong with it.
Problem = tuple[int, str]


@dataclass(frozen=True, slots=True)
class RuleShape:
    """What is judged of a rule. ``told``: how people know its target, if that is another path."""

    source_field: str | None
    target_field: str
    when: str | None = None
    is_computed: bool = False
    told: str | None = None


@dataclass(frozen=True, slots=True)
class _Target:
    number: int
    rule: RuleShape
    steps: Steps

    @property
    def text(self) -> str:
        return self.rule.told or self.rule.target_field

    @property
    def list(self) -> Steps | None:
        """The path of the first list on the way."""
        return self.steps[: self.steps.index(EACH)] if EACH in self.steps else None


def conflicts_of(rules: Sequence[RuleShape]) -> Iterator[Problem]:
    """Yield what is wrong, but for paths that cannot be read and for fields that are filled twice."""
    targets = list(_targets(rules))
    for target in targets:
        if target.list is not None:
            yield from _list_problems(target)
    yield from _parents(targets)
    yield from _lists(targets)


def repeated(rules: Sequence[RuleShape]) -> Iterator[Problem]:
    """Yield the rules whose field another one has filled already, whatever the event is."""
    seen: dict[Steps, _Target] = {}
    for target in _targets(rules):
        before = seen.get(target.steps)
        if before is not None and before.rule.when is None:
            yield target.number, f"target_field {target.text!r} is set twice (all but the last rule for it need a when)"
        seen[target.steps] = target


def _targets(rules: Sequence[RuleShape]) -> Iterator[_Target]:
    for number, rule in enumerate(rules):
        try:
            yield _Target(number, rule, parse_path(rule.target_field).steps)
        except BadExpression:
            continue


def _list_problems(target: _Target) -> Iterator[Problem]:
    name, source = f"target_field {target.text!r}", _source(target.rule.source_field)
    if target.rule.when is not None or target.rule.is_computed:
        yield target.number, f"{name}: when, template, position and fields need a rule for the list, with fields"
    if isinstance(source, Expression):
        yield (
            target.number,
            f"{name} takes entries one by one, so its source_field must be a plain path like lines[].sku",
        )
    elif isinstance(source, Path) and source.steps.count(EACH) < target.steps.count(EACH):
        yield target.number, f"{name} has more lists than source_field {target.rule.source_field!r}"


def _parents(targets: Sequence[_Target]) -> Iterator[Problem]:
    values = {target.steps: target.text for target in targets}
    lists = {target.list: target.text for target in targets if target.list is not None}
    for target in targets:
        for length in range(1, len(target.steps)):
            start = target.steps[:length]
            if start in values:
                yield target.number, f"target_field {values[start]!r} is a value and the parent of {target.text!r}"
            if start in lists and target.steps[length] is not EACH:
                yield (
                    target.number,
                    f"target_field {target.text!r} goes into an object, and {lists[start]!r} makes a list of it",
                )


def _lists(targets: Sequence[_Target]) -> Iterator[Problem]:
    """Entries of one target list must come from one source list: only then do they belong together."""
    for place in dict.fromkeys(target.list for target in targets if target.list is not None):
        group = [target for target in targets if target.list == place]
        origins: list[str] = []
        inner: list[tuple[int, RuleShape]] = []
        for target in group:
            rest = steps_text(target.steps[len(place) + 1 :])
            source = _source(target.rule.source_field)
            parts = source.split() if isinstance(source, Path) else None
            if parts is not None:
                origins.append(str(parts[0]))
                if origins[0] != origins[-1]:
                    told = f"takes its entries from {origins[-1]!r}, another rule for it from {origins[0]!r}"
                    yield target.number, f"target_field {target.text!r} {told}"
            inner.append((target.number, RuleShape(None if parts is None else str(parts[1]), rest, told=target.text)))
        if not origins:
            made = f"{steps_text(place)}[]"
            first = group[0]
            yield first.number, f"target_field {first.text!r} has no rule beside it that says what {made} is made of"
        # Each entry is an object with rules of its own, which can contradict in the same ways.
        shapes = [shape for _, shape in inner if shape.target_field != "@"]
        numbers = [number for number, shape in inner if shape.target_field != "@"]
        yield from ((numbers[number], problem) for number, problem in conflicts_of(shapes))


def _source(text: str | None) -> Path | Expression | None:
    try:
        return None if text is None else parse_source(text)
    except BadExpression:
        return None
