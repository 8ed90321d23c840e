"""What is wrong with a configuration and where, for people. Holds no value of a secret, ever."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from outbox.model.errors import Misconfigured

KeyPath = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./:*#+-]+")
# Long enough to recognise a name, short enough to keep a problem on one line.
_MAX_SHOWN_CHARACTERS = 60
# Below this two words have so little in common that a suggestion would mislead.
_MIN_LIKENESS = 0.6


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file; line and column count from 1. ``file``: the included one, None for the main file."""

    line: int
    column: int
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a person must look: a place in the file, an environment variable, or a setting that is nowhere.

    ``name`` is the setting or the variable, ``value`` what stands there if it may be shown.
    """

    name: str
    file: str | None = None
    position: Position | None = None
    value: str | None = None

    def __str__(self) -> str:
        name = self.name if self.value is None else f"{self.name}={self.value}"
        if self.file is None:
            return name
        position = "" if self.position is None else f":{self.position.line}:{self.position.column}"
        return f"{self.file}{position} {name}".rstrip()

    def order(self) -> tuple[bool, str, int, int, str]:
        """Return the sort key: each file from top to bottom, then what is in none by name."""
        position = self.position or Position(0, 0)
        return (self.file is None, self.file or "", position.line, position.column, self.name)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to correct."""

    place: Place
    problem: str
    suggestion: str | None = None

    def __str__(self) -> str:
        suggestion = "" if self.suggestion is None else f"; {self.suggestion}"
        return f"{self.place}: {self.problem}{suggestion}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem before its place is known: the path, and a position only where the path is not enough.

    ``is_about_value`` says that showing the value, if it may be shown, helps.
    """

    path: KeyPath
    problem: str
    suggestion: str | None = None
    position: Position | None = None
    is_about_value: bool = False


class ConfigProblems(Misconfigured):
    """The configuration is not usable; carries every problem, in the order of their places.

    ``what`` says which part of it, where that is a thing of its own.
    """

    def __init__(self, problems: Iterable[Problem], what: str = "configuration") -> None:
        # A value of a union is reported once for each member, and its sentence names all of them each time.
        unique = dict.fromkeys(problems)
        self.problems: tuple[Problem, ...] = tuple(sorted(unique, key=lambda one: (one.place.order(), str(one))))
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"the {what} has {count}:{lines}", f"correct the {what} and start again")


def path_text(path: KeyPath) -> str:
    """Write a path as people do: ``flows.orders-to-crm.mapping[2].target_field``."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += f".{shown(key)}" if text else shown(key)
    return text


def shown(text: str) -> str:
    """Return a name fit for one line of a terminal: cut, and quoted if it is no plain word."""
    if _PLAIN_KEY.fullmatch(text) and len(text) <= _MAX_SHOWN_CHARACTERS:
        return text
    cut = text if len(text) <= _MAX_SHOWN_CHARACTERS else text[: _MAX_SHOWN_CHARACTERS - 1] + "…"
    return ascii(cut) if not cut.isprintable() else f"'{cut}'"


def shown_value(value: object) -> str | None:
    """Return a scalar for display; None if it is none, or might carry a credential (``@``, a query)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return str(value)
    if not isinstance(value, str) or set(value) & set("@?&\\"):
        return None
    return value if _PLAIN_VALUE.fullmatch(value) and len(value) <= _MAX_SHOWN_CHARACTERS else shown(value)


def did_you_mean(word: object, known: Sequence[str]) -> str | None:
    """Return ``did you mean 'attempts'?`` if one of the known words is close."""
    if not isinstance(word, str):
        return None
    lowered = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=_MIN_LIKENESS)
    return f"did you mean '{lowered[close[0]]}'?" if close else None
