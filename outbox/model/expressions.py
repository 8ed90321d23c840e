"""JMESPath expressions by the library's own interpreter, with functions of ours: its own know no decimals.

They work by the rules of JMESPath, except that nothing is rounded and that what cannot be compared or calculated is an
error instead of null. Nothing in the language loops or reaches outside of the value that it is given; what an
expression costs has a bound all the same.
"""

from __future__ import annotations

import copy
import json
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from jmespath import exceptions, visitor

from outbox.model.exact_numbers import fit
from outbox.model.expression_functions import FUNCTIONS, BadArgument, Functions, ordered

# Far above what a document of thousands of lines needs, and done in a second or two.
_MAX_VISITS = 1_000_000
# More than people write, far less than Python's own calls may be nested.
_MAX_DEPTH = 60
# Comparisons that need an order, by the parser's names.
_ORDERS = {"lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge}


class BadExpression(ValueError):
    """A path or an expression that cannot be used; the text says why, in words that can follow its name."""


class Unanswerable(Exception):
    """An expression has no answer for this document; the text names kinds, never values."""


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression, ready to be asked."""

    text: str
    _tree: Mapping[str, Any]

    @classmethod
    def of(cls, text: str, parsed: Mapping[str, Any]) -> Expression:
        """Check what the parser has made of a text.

        Raises:
            BadExpression: it calls a function that does not exist, or with too few or too many arguments.
        """
        if _depth(parsed) > _MAX_DEPTH:
            raise BadExpression("is nested too deep")
        # The parser keeps what it has made and gives it to others: only a copy may be changed.
        tree = _with_exact_numbers(parsed)
        for node in _nodes(tree):
            if node["type"] == "function_expression":
                _check_call(node["value"], len(node["children"]))
            elif node["type"] == "slice" and node["children"][2] == 0:
                raise BadExpression("has a slice whose step is 0")
        return cls(text, tree)

    @staticmethod
    def check_literal(text: str) -> None:
        """Refuse a literal that the library does not read exactly as it is written.

        Raises:
            BadExpression: it is no JSON, or has a number of more digits than a float keeps.
        """
        try:
            exact = json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
        except ValueError:
            raise BadExpression("has a literal in backticks that is no JSON; text is written 'like this'") from None
        if exact != _exact(json.loads(text)):
            raise BadExpression("has a number of so many digits that it would be rounded; 15 are safe")

    def __str__(self) -> str:
        return self.text

    def evaluate(self, value: object) -> object:
        """Return the answer; null where there is none.

        Raises:
            Unanswerable: kinds do not fit together, or it costs too much.
        """
        try:
            return _Interpreter().visit(self._tree, value)
        except BadArgument as error:
            raise Unanswerable(str(error)) from None
        except (exceptions.JMESPathError, TypeError):
            # Nothing is known to get here; the library's texts quote values.
            raise Unanswerable("cannot be evaluated for such values") from None
        except RecursionError:
            raise Unanswerable("is asked of what is nested too deep") from None

    def holds(self, value: object) -> bool:
        """Say whether the answer counts as true: not null, false, or an empty text, list or object."""
        answer = self.evaluate(value)
        return not (answer is None or answer is False or answer in ("", [], {}))


class _Interpreter(visitor.TreeInterpreter):
    def __init__(self) -> None:
        super().__init__(visitor.Options(custom_functions=_FUNCTIONS))
        self._visits = 0

    def visit(self, node: Any, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 - the library's
        """Count, so that lists which double at each step come to an end."""
        self._visits += 1
        if self._visits > _MAX_VISITS:
            raise BadArgument("would take too long: it visits more than a million values")
        return super().visit(node, *args, **kwargs)

    def visit_comparator(self, node: Any, value: object) -> Any:  # noqa: ANN401 - the library's
        """Compare numbers with numbers and texts with texts; the library says null of all else, which reads as no."""
        compare = _ORDERS.get(node["value"])
        if compare is None:
            return super().visit_comparator(node, value)
        one, other = (self.visit(child, value) for child in node["children"])
        return ordered(compare, one, other)

    def visit_literal(self, node: Any, value: object) -> Any:  # noqa: ANN401, ARG002 - the library's
        """Copy: one document must never change another's."""
        return copy.deepcopy(node["value"])


_FUNCTIONS: Final = Functions()


def _check_call(name: str, count: int) -> None:
    known = FUNCTIONS.get(name)
    if known is None:
        hint = "; it is not exact: use sum() and the transform divide" if name == "avg" else ""
        raise BadExpression(
            f"calls {name}(), which does not exist here{hint}; known are {', '.join(sorted(FUNCTIONS))}"
        )
    if not known.least <= count <= known.most:
        wanted = str(known.least) if known.least == known.most else f"{known.least} or more"
        raise BadExpression(f"calls {name}() with {count} arguments, it takes {wanted}")


def _with_exact_numbers(node: Mapping[str, Any]) -> dict[str, Any]:
    tree = dict(node)
    if tree["type"] == "literal":
        tree["value"] = _exact(tree["value"])
    tree["children"] = [
        _with_exact_numbers(child) if isinstance(child, Mapping) else child for child in tree.get("children", ())
    ]
    return tree


def _exact(value: object) -> object:
    match value:
        case float():
            return Decimal(repr(value))
        case int() if not isinstance(value, bool):
            return fit(value)
        case list():
            return [_exact(member) for member in value]
        case dict():
            return {name: _exact(member) for name, member in value.items()}
        case _:
            return value


def _depth(node: Mapping[str, Any]) -> int:
    """Return how many levels a tree has; without recursion, for that is what the answer protects."""
    level, levels = [node], 0
    while level:
        levels += 1
        level = [child for one in level for child in one["children"] if isinstance(child, Mapping)]
    return levels


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node["children"]:
        if isinstance(child, Mapping):
            yield from _nodes(child)


def _refuse_constant(name: str) -> object:
    raise ValueError(name)
