"""A flow's field rules, compiled once: from the payload's JSON to the document that an adapter sends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Known
from dataclasses import dataclass

from outbox.config.transforms import Xref
from outbox.flow.document import parse_document
from outbox.flow.mapping_fields import Alternatives, Node
from outbox.flow.mapping_plan import planned
from outbox.flow.mapping_rules import FieldRule, problems_of
from outbox.flow.mapping_run import Run, Scope, Trace
from outbox.model.awaited import Lack
from outbox.model.errors import Misconfigured
from outbox.model.mapping import Reference

__all__ = ["FieldRule", "Mapping", "Trace"]

_NOTHING: Known[Reference, str] = {}


@dataclass(frozen=True, slots=True)
class Mapping:
    """All rules of a flow. Without any, the payload's object goes out as it came in."""

    _nodes: tuple[Node, ...] = ()

    @classmethod
    def compile(cls, rules: Iterable[FieldRule]) -> Mapping:
        """Check the rules, also against each other, and read their paths.

        Raises:
            Misconfigured: with every problem found, not only the first.
        """
        rules = tuple(rules)
        problems = list(dict.fromkeys(problems_of(rules)))
        if problems:
            raise Misconfigured("mapping: " + "; ".join(problems), "correct these fields of the flow's mapping")
        return cls(planned(rules))

    def has_references(self) -> bool:
        """Say whether ids of other systems have to be looked up for it."""
        return any(True for _ in _references(self._nodes))

    def may_wait(self) -> bool:
        """Say whether deliveries may wait for ids that it needs."""
        return any(xref.patience() is not None for xref in _references(self._nodes))

    def apply(self, payload: bytes, resolved: Known[Reference, str] = _NOTHING) -> dict[str, object]:
        """Return the target's document for a payload.

        Args:
            payload: JSON text.
            resolved: the ids that other systems gave to what `needs` told.

        Raises:
            MappingError: naming the source path, and never what was found there.
            ReferenceMissing: an id is needed that is not among the resolved.
        """
        document = parse_document(payload)
        return self._mapped(Run(document, resolved)) if self._nodes else document

    def needs(self, payload: bytes, resolved: Known[Reference, str] = _NOTHING) -> frozenset[Reference]:
        """Return which ids a payload needs besides those that are known.

        What an id is looked up by can itself be an id: ask again with what was found, until nothing is needed.

        Raises:
            MappingError: as `apply`.
        """
        needed: set[Reference] = set()
        if self._nodes:
            self._mapped(Run(parse_document(payload), resolved, needed=needed))
        return frozenset(needed)

    def lacks(self, payload: bytes, resolved: Known[Reference, str]) -> tuple[Lack, ...]:
        """Return what a payload needs besides those that are known, in the order of the rules, with what they say.

        Raises:
            MappingError: something else is wrong with it.
        """
        lacks: list[Lack] = []
        if self._nodes:
            self._mapped(Run(parse_document(payload), resolved, lacks=lacks))
        return tuple(lacks)

    def explain(
        self, payload: bytes, resolved: Known[Reference, str] = _NOTHING
    ) -> tuple[dict[str, object], tuple[Trace, ...]]:
        """Return the document, and of each field where it came from. Raises the same as `apply`."""
        document = parse_document(payload)
        traces: list[Trace] = []
        return (self._mapped(Run(document, resolved, traces=traces)) if self._nodes else document), tuple(traces)

    def _mapped(self, run: Run) -> dict[str, object]:
        scope = Scope(run.document, run)
        mapped: dict[str, object] = {}
        for node in self._nodes:
            node.put(scope, mapped)
        return mapped


def _references(nodes: Iterable[Node]) -> Iterator[Xref]:
    for node in nodes:
        if isinstance(node, Alternatives):
            yield from _references(node.fields)
        else:
            yield from (step.xref for step in node.steps if step.xref is not None)
            yield from _references(node.fields)
