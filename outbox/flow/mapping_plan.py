"""From checked rules to what puts them into a document: rules of one list are done together, entry by entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from outbox.flow.mapping_fields import Alternatives, CompiledField, Node
from outbox.flow.mapping_rules import FieldRule, exact_default
from outbox.flow.mapping_run import Source
from outbox.flow.mapping_sources import (
    ExpressionSource,
    ListSource,
    NoSource,
    PathSource,
    PositionSource,
    TemplateSource,
)
from outbox.flow.mapping_transforms import step_of
from outbox.model.expressions import Expression
from outbox.model.mapping import MISSING
from outbox.model.paths import EACH, Path, parse_expression, parse_path, parse_source
from outbox.model.templates import parse_template


def planned(rules: Sequence[FieldRule]) -> tuple[Node, ...]:
    """Return what fills a document, in the order of the rules."""
    grouped: dict[str, list[FieldRule]] = {}
    for rule in rules:
        target = parse_path(rule.target_field)
        parts = target.split()
        # Rules of one list stand where the first of them stands.
        grouped.setdefault(rule.target_field if parts is None else f"{parts[0]}[]", []).append(rule)
    nodes: list[Node] = []
    for group in grouped.values():
        if EACH in parse_path(group[0].target_field).steps:
            nodes.append(_list_field(group))
        elif len(group) > 1:
            nodes.append(Alternatives(tuple(_field(rule) for rule in group)))
        else:
            nodes.append(_field(group[0]))
    return tuple(nodes)


def _field(rule: FieldRule) -> CompiledField:
    parents, leaf = _place(parse_path(rule.target_field))
    return CompiledField(
        source=_source(rule),
        parents=parents,
        leaf=leaf,
        target=rule.target_field,
        steps=tuple(step_of(one) for one in rule.transforms),
        fields=planned(rule.fields),
        when=None if rule.when is None else parse_expression(rule.when),
        default=exact_default(rule.default) if rule.has_default else MISSING,
        is_required=rule.required,
        null_is_missing=rule.null_is_missing,
    )


def _list_field(rules: Sequence[FieldRule]) -> CompiledField:
    """Make one block of the rules that fill the entries of one list, such as items[].sku and items[].quantity."""
    source, target = Path(()), Path(())
    inner: list[FieldRule] = []
    for rule in rules:
        target, rest = _split(parse_path(rule.target_field))
        source_rest = Path(())
        if rule.source_field is not None:
            parsed = parse_source(rule.source_field)
            assert isinstance(parsed, Path)  # noqa: S101 - checked before
            source, source_rest = _split(parsed)
        if not rest.steps:
            # items[] alone: the list of the values themselves.
            return _field(replace(rule, target_field=str(target)))
        inner.append(
            replace(
                rule,
                source_field=None if rule.source_field is None else str(source_rest),
                target_field=str(rest),
            )
        )
    parents, leaf = _place(target)
    return CompiledField(
        source=PathSource(source),
        parents=parents,
        leaf=leaf,
        target=str(target),
        fields=planned(inner),
        is_required=any(rule.required for rule in inner),
        null_is_missing=True,
        is_list=True,
    )


def _split(path: Path) -> tuple[Path, Path]:
    parts = path.split()
    assert parts is not None  # noqa: S101 - checked before
    return parts


def _place(path: Path) -> tuple[tuple[str, ...], str]:
    names = tuple(step for step in path.steps if isinstance(step, str))
    return names[:-1], names[-1]


def _source(rule: FieldRule) -> Source:
    if rule.template is not None:
        return TemplateSource(parse_template(rule.template))
    if rule.position is not None:
        return PositionSource(rule.position)
    if rule.source_field is None:
        return NoSource()
    source = parse_source(rule.source_field)
    if isinstance(source, Expression):
        return ExpressionSource(source)
    return ListSource(source) if EACH in source.steps else PathSource(source)
