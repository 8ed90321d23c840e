"""Texts with paths in braces: ``{order.ref}-{line.no}``. Taken apart by Python's own formatter."""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter

from outbox.model.expressions import BadExpression
from outbox.model.paths import EACH, Path, parse_path

_FORMATTER = Formatter()


@dataclass(frozen=True, slots=True)
class Template:
    """Literal texts and paths, in their order."""

    text: str
    parts: tuple[str | Path, ...]

    def __str__(self) -> str:
        return self.text


def parse_template(text: str) -> Template:
    """Take a template apart.

    Raises:
        BadExpression: a brace is left open, or one of its parts is no plain path to one value.
    """
    parts: list[str | Path] = []
    try:
        parsed = list(_FORMATTER.parse(text))
    except ValueError as error:
        raise BadExpression(f"has a brace that does not fit: {error}; a brace itself is written {{{{ or }}}}") from None
    for literal, name, form, conversion in parsed:
        if literal:
            parts.append(literal)
        if name is None:
            continue
        if form or conversion:
            raise BadExpression("has : or ! in braces; only plain paths can stand there")
        try:
            path = parse_path(name)
        except BadExpression as error:
            raise BadExpression(f"has {{{name}}}, which {error}") from None
        if EACH in path.steps:
            raise BadExpression(f"has {{{name}}}, which is many values; a template takes one of each path")
        parts.append(path)
    return Template(text, tuple(parts))
