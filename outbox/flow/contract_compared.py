"""What two schemas came to, where the same two are compared more than once. Pure.

Alternatives are compared each with each, and what lies below them is the same every time: without this, a level of
nullable objects would multiply the work of all levels below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from outbox.flow.schema_view import View

Pair = tuple[int, int, bool]

# A comparison inside of another takes about ten frames of a thousand.
_MOST_BEGUN = 30


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something that ``a`` allows may be refused by ``b``; ``is_known``: it surely is, else nobody can tell."""

    path: str
    rule: str
    allowed: object
    demanded: object
    is_known: bool = True

    def below(self, path: str) -> Self:
        """Return the same reason, as it is told from further up."""
        return replace(self, path=path + self.path) if path else self


@dataclass(frozen=True, slots=True)
class _Result:
    """What a comparison came to, and on which others it rests.

    ``begun``: was taken as decided further up, in a circle. ``done``: was looked at, so must not be in such a circle.
    ``views`` are kept because a pair is told by the ids of their schemas.
    """

    reasons: tuple[Reason, ...]
    begun: frozenset[Pair]
    done: frozenset[Pair]
    views: tuple[View, View]


class Compared:
    """The comparisons of one run. Reasons are kept with paths that begin where the two schemas stand."""

    def __init__(self) -> None:
        self._results: dict[Pair, list[_Result]] = {}
        self._open: list[tuple[set[Pair], set[Pair]]] = []

    def is_deep(self) -> bool:
        """Say whether another comparison inside of those that are begun could run out of stack."""
        return len(self._open) >= _MOST_BEGUN

    def rests_on(self, pair: Pair) -> None:
        """Note that what is being compared takes another comparison, begun further up, as decided."""
        for begun, _ in self._open[-1:]:
            begun.add(pair)

    def known(self, pair: Pair, above: frozenset[Pair]) -> Sequence[Reason] | None:
        """Return what two schemas came to, None: they were not compared yet below such comparisons as ``above``."""
        for result in self._results.get(pair, ()):
            # In another circle, others are taken as decided: only what would be compared alike is the same.
            if result.begun <= above and result.done.isdisjoint(above):
                return self._used(result)
        return None

    def add(self, pair: Pair, views: tuple[View, View], compare: Callable[[], Iterable[Reason]]) -> Sequence[Reason]:
        """Compare two schemas, and return what they come to."""
        begun: set[Pair] = set()
        done = {pair}
        self._open.append((begun, done))
        try:
            found = tuple(compare())
        finally:
            self._open.pop()
        result = _Result(found, frozenset(begun - {pair}), frozenset(done), views)
        self._results.setdefault(pair, []).append(result)
        return self._used(result)

    def _used(self, result: _Result) -> Sequence[Reason]:
        for begun, done in self._open[-1:]:
            begun.update(result.begun)
            done.update(result.done)
        return result.reasons
