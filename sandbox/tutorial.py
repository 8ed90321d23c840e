"""Reads a tutorial: the commands that it tells its reader to type, and what it says they show. Pure.

A block of the kind ``console`` has lines that begin with ``$ `` (commands, with ``> `` in front of further lines) and,
behind each, what is shown. ``…`` stands for what differs from run to run: in a line, or alone for any number of lines.
``console soon``: what is shown is true after a moment, so a reader looks again. ``console stays``: the command goes on
running in a terminal of its own. How wide the cells of a table are does not matter.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

_ELLIPSIS = "…"
_PROMPT, _CONTINUED = "$ ", "> "
_FENCE = re.compile(r"^```(\w*) ?(\w*)$")


class Manner(StrEnum):
    """How a block is to be typed; the word behind ``console``."""

    ONCE = ""
    SOON = "soon"
    STAYS = "stays"


@dataclass(frozen=True, slots=True)
class Command:
    """Something to type, and the lines that it shows; ``line`` is where it stands in the tutorial."""

    line: int
    text: str
    shown: tuple[str, ...]
    manner: Manner

    def is_shown_by(self, output: str) -> bool:
        """Say whether an output is what the tutorial shows; of what stays, whether it begins so."""
        pattern = "".join(_line_pattern(line) for line in self.shown)
        lines = "".join(f"{_even(line)}\n" for line in output.splitlines())
        end = r"[\s\S]*" if self.manner is Manner.STAYS else ""
        return re.fullmatch(pattern + end, lines) is not None


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, and what stands below it: paragraphs to read and commands to type, in their order."""

    heading: str
    parts: tuple[str | Command, ...]

    @property
    def commands(self) -> Iterator[Command]:
        """Iterate over what is to be typed."""
        return (part for part in self.parts if isinstance(part, Command))


def read_tutorial(text: str) -> list[Section]:
    """Read a tutorial; what stands above its first section of commands is a section, too.

    Raises:
        ValueError: a block of commands is not closed, or does not begin with a command.
    """
    sections: list[Section] = []
    heading, parts, paragraph = "", list[str | Command](), list[str]()
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        fence = _FENCE.match(line)
        if line.startswith("#") or not line.strip() or fence:
            if paragraph:
                parts.append("\n".join(paragraph))
            paragraph = []
        if line.startswith("#"):
            sections.append(Section(heading, tuple(parts)))
            heading, parts = line.lstrip("# "), []
        elif fence:
            parts += _block(number, _closed(number, lines), fence)
        elif line.strip():
            paragraph.append(line)
    if paragraph:
        parts.append("\n".join(paragraph))
    sections.append(Section(heading, tuple(parts)))
    return [section for section in sections if section.parts]


def _closed(number: int, lines: Iterator[tuple[int, str]]) -> list[str]:
    block: list[str] = []
    for _, line in lines:
        if line.startswith("```"):
            return block
        block.append(line)
    raise ValueError(f"line {number}: the block is not closed")


def _block(number: int, lines: Sequence[str], fence: re.Match[str]) -> list[str | Command]:
    if fence[1] != "console":
        return ["\n".join(lines)]
    found: list[tuple[int, list[str], list[str]]] = []
    for place, line in enumerate(lines, start=number + 1):
        if line.startswith(_PROMPT):
            found.append((place, [line.removeprefix(_PROMPT)], []))
        elif not found:
            raise ValueError(f"line {place}: a block of commands begins with one")
        elif line.startswith(_CONTINUED) and not found[-1][2]:
            found[-1][1].append(line.removeprefix(_CONTINUED))
        else:
            found[-1][2].append(line.rstrip())
    manner = Manner(fence[2])
    return [Command(place, "\n".join(text), tuple(shown), manner) for place, text, shown in found]


def _line_pattern(line: str) -> str:
    if line.strip() == _ELLIPSIS:
        return r"(?:.*\n)*?"
    return ".*".join(re.escape(part) for part in _even(line).split(_ELLIPSIS)) + r"\n"


def _even(line: str) -> str:
    """Return a line without what depends on the width of a table's cells."""
    return re.sub(r"([ ━─])\1+", r"\1", line).strip()
