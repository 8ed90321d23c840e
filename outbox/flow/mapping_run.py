"""One document on its way through a mapping: where the rules stand, and what is noted on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from outbox.flow.refused import Refused
from outbox.model.awaited import Lack
from outbox.model.mapping import Reference

# More than documents have, and done in some seconds.
MAX_VALUES = 1_000_000


@dataclass(frozen=True, slots=True)
class Trace:
    """Where the value of one target field came from, for people who ask. ``origin`` is a word for it."""

    target: str
    origin: str
    source: str | None
    steps: tuple[str, ...]
    found: object
    value: object


@dataclass(slots=True)
class Run:
    """One document on its way through a mapping.

    ``needed``: collects references instead of refusing unknown ones; ``lacks``: the same, with what their rules say.
    ``traces``: collects where values came from.
    """

    document: dict[str, object]
    resolved: Mapping[Reference, str]
    needed: set[Reference] | None = None
    lacks: list[Lack] | None = None
    traces: list[Trace] | None = None
    spent: int = 0

    def spend(self, values: int) -> None:
        """Count values that are made of lists: lists in lists that begin at the document multiply.

        Raises:
            Refused: there are more than any target takes.
        """
        self.spent += values
        if self.spent > MAX_VALUES:
            raise Refused(f"has so many entries that more than {MAX_VALUES} values would be made")


class Block(Protocol):
    """The rule whose entries a scope is one of."""

    @property
    def source(self) -> Source:
        """Where the entries come from."""
        ...

    @property
    def target(self) -> str:
        """Where they go to, as people write it."""
        ...


@dataclass(slots=True)
class Scope:
    """What the paths of a rule begin at: the document, or the object or one entry that a block is for."""

    value: object
    run: Run
    around: Scope | None = None
    block: Block | None = None
    place: int | None = None

    def source_path(self, text: str) -> str:
        """Return a path from here as a path of the document, with places in lists."""
        if self.around is None or self.block is None:
            return text
        return joined_path(self.block.source.where(self.around, self.place), text)

    def target_path(self, text: str) -> str:
        """Return a path of the target's document."""
        if self.around is None or self.block is None:
            return text
        entry = "" if self.place is None else f"[{self.place}]"
        return joined_path(self.around.target_path(self.block.target) + entry, text)


def joined_path(start: str, text: str) -> str:
    """Put two paths together."""
    if text in ("", "@"):
        return start
    if start in ("", "@"):
        return text
    return f"{start}{text}" if text.startswith("[") else f"{start}.{text}"


class Source(Protocol):
    """Finds the value of a rule."""

    def read(self, scope: Scope) -> object:
        """Return the value, or MISSING.

        Raises:
            Refused: what is there is of another kind than the rule says.
        """
        ...

    def where(self, scope: Scope, entry: int | None = None) -> str:
        """Return the path of the value, or of one entry of the list that it is."""
        ...
