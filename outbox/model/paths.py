"""Where a value stands in a document, in the words of JMESPath, read by its own library.

Plain paths (``order.ref``, ``lines[].sku``, ``lines[0].sku``, ``"order-id"``) are walked by ourselves: JMESPath answers
null for what is missing, for null and for a parent of another kind, and a mapping has to tell these apart. All
else is an `Expression`. A leading ``$.`` begins at the document, wherever the path is used; the library does not know
this sign of JMESPath Community (JEP-17), so it is taken off here.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any, Final

import jmespath
from jmespath import exceptions, lexer

from outbox.model.expressions import BadExpression, Expression

# Nobody reads a longer one; bounds what parsing costs, which recurses.
_MAX_CHARACTERS = 1000
_DOCUMENT = "$."
_NO_PLACES = "has a number as a part, and targets cannot be lists by place; give the list as a rule with fields"
_UNQUOTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class NumberAsPart(BadExpression):
    """A place in a list is written like a name."""


class Each(Enum):
    """The step ``[]``: every entry of a list."""

    ENTRY = "[]"


EACH: Final = Each.ENTRY
Step = str | int | Each


@dataclass(frozen=True, slots=True)
class Path:
    """A plain path. ``is_from_document``: it begins at the document, also inside of a block."""

    steps: tuple[Step, ...]
    is_from_document: bool = False

    def __str__(self) -> str:
        return (_DOCUMENT if self.is_from_document else "") + steps_text(self.steps)

    def split(self) -> tuple[Path, Path] | None:
        """Return the path of the first list that every entry is taken of, and the rest; None if there is none."""
        if EACH not in self.steps:
            return None
        place = self.steps.index(EACH)
        return Path(self.steps[:place], self.is_from_document), Path(self.steps[place + 1 :])


def steps_text(steps: Sequence[Step]) -> str:
    """Write steps as a path: ``lines[3].sku``."""
    text = ""
    for step in steps:
        match step:
            case Each():
                text += "[]"
            case int():
                text += f"[{step}]"
            case str():
                name = step if _UNQUOTED.fullmatch(step) else '"' + step.replace("\\", "\\\\").replace('"', '\\"') + '"'
                text += f".{name}" if text else name
    return text or "@"


def parse_path(text: str) -> Path:
    """Read a plain path.

    Raises:
        BadExpression: it is none; says where and what to write.
    """
    parsed = parse_source(text)
    if isinstance(parsed, Expression):
        raise BadExpression("must be a plain path such as order.ref, lines[].sku or lines[0].sku")
    return parsed


def parse_target(text: str) -> Path:
    """Read the path of a field that is to be made: names, and ``[]`` for the entries of a list.

    Raises:
        BadExpression: it is none; says where and what to write.
    """
    try:
        path = parse_path(text)
    except NumberAsPart:
        raise BadExpression(_NO_PLACES) from None
    if any(isinstance(step, int) for step in path.steps):
        raise BadExpression(_NO_PLACES)
    if path.is_from_document or not path.steps or path.steps[0] is EACH:
        raise BadExpression("must begin with a name")
    if any(one is EACH and other is EACH for one, other in pairwise(path.steps)):
        raise BadExpression("has a list inside of a list")
    return path


def parse_expression(text: str) -> Expression:
    """Read an expression, also one that is a plain path.

    Raises:
        BadExpression: it is none; says where and what to write.
    """
    if text.startswith(_DOCUMENT):
        raise BadExpression("$ can only begin a path; an expression begins where its rule stands")
    return Expression.of(text, _parsed(text, 0))


def parse_source(text: str) -> Path | Expression:
    """Read a path, or an expression of any kind.

    Raises:
        BadExpression: it is neither; says where and what to write.
    """
    is_from_document = text.startswith(_DOCUMENT)
    offset = len(_DOCUMENT) if is_from_document else 0
    parsed = _parsed(text[offset:], offset)
    steps = _steps(parsed)
    if steps is not None:
        return Path(tuple(steps), is_from_document)
    if is_from_document:
        raise BadExpression("$ can only begin a plain path such as $.currency")
    return Expression.of(text, parsed)


def _parsed(text: str, offset: int) -> Mapping[str, Any]:
    if len(text) > _MAX_CHARACTERS:
        raise BadExpression(f"must have at most {_MAX_CHARACTERS} characters")
    try:
        with warnings.catch_warnings():
            # Literals that are no JSON: refused by Expression.
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            parsed: Mapping[str, Any] = jmespath.compile(text).parsed
            tokens = list(lexer.Lexer().tokenize(text))
    except exceptions.EmptyExpressionError:
        raise BadExpression("has an empty part") from None
    except exceptions.ParseError as error:
        raise _complaint(text, error, offset) from None
    except ValueError as error:
        # int() refuses thousands of digits.
        raise BadExpression("has a number that is too long") from error
    except RecursionError:
        raise BadExpression("is nested too deep") from None
    _check_literals(text, tokens)
    return parsed


def _check_literals(text: str, tokens: Sequence[Mapping[str, Any]]) -> None:
    for token in tokens:
        start = token["start"]
        if token["type"] == "literal" and text[start] == "`":
            end = start + 1
            while text[end] != "`":
                end += 2 if text[end] == "\\" else 1
            Expression.check_literal(text[start + 1 : end].replace("\\`", "`"))


def _complaint(text: str, error: exceptions.ParseError, offset: int) -> BadExpression:
    position = min(error.lex_position or 0, len(text))
    at = f"at character {position + offset + 1}"
    found = text[position : position + 1]
    if found == "." or (not found and text.endswith(".")):
        return BadExpression(f"has an empty part {at}")
    if found.isdecimal() and text[position - 1 : position] == ".":
        return NumberAsPart(f"has a number as a part {at}; a place in a list is written lines[0]")
    if not found:
        return BadExpression(f"ends too early, {at}")
    if isinstance(error, exceptions.LexerError):
        return BadExpression(
            f"has {found!a} {at}, which JMESPath cannot take there; a name with other characters than letters, "
            'digits and _ is written in double quotes, for example "order-id"'
        )
    return BadExpression(f"is no JMESPath expression: {found!a} {at} cannot stand there")


def _steps(node: Mapping[str, Any]) -> list[Step] | None:
    """Return the steps of a plain path; None if the expression is more than that."""
    children = node["children"]
    match node["type"]:
        case "current" | "identity":
            return []
        case "field" | "index":
            return [node["value"]]
        case "subexpression" | "index_expression":
            return _joined(children)
        case "projection" if children[0]["type"] == "flatten":
            left, right = _steps(children[0]["children"][0]), _steps(children[1])
            return None if left is None or right is None else [*left, EACH, *right]
        case _:
            return None


def _joined(nodes: Sequence[Mapping[str, Any]]) -> list[Step] | None:
    joined: list[Step] = []
    for node in nodes:
        steps = _steps(node)
        if steps is None:
            return None
        joined += steps
    return joined
