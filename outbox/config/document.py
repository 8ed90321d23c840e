"""YAML text to plain data with the position of every key. Knows nothing of settings and opens no file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from outbox.config.problems import Finding, KeyPath, Position
from outbox.config.scalars import AmbiguousScalarError, plain_scalar

# Settings are five levels deep; the rest is room for adapters. Bounds the recursion below.
_MAX_DEPTH = 40
# A thousand flows fit; a file of aliases that expand to billions of values does not.
_MAX_VALUES = 100_000

_TAG = "tag:yaml.org,2002:"
_PLAIN = "plain"
_MERGE = "<<"
# An error's text may quote the file (an alias, a tag): only single characters and <tokens> are kept.
_QUOTED = re.compile(r"'(?!<)[^']{2,}'|\"[^\"]{2,}\"")


class UnreadableError(Exception):
    """The text is no usable YAML document.

    Args:
        problem: what is wrong, without any of the text.
        position: where, if that is known.
    """

    def __init__(self, problem: str, position: Position | None) -> None:
        self.problem = problem
        self.position = position
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class Document:
    """The data of a file, where each key of it stands, and what was wrong with single entries."""

    data: dict[str, object] = field(default_factory=dict)
    positions: Mapping[KeyPath, Position] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """What stands in a file that is one value of the settings."""

    value: object
    positions: Mapping[KeyPath, Position]
    findings: tuple[Finding, ...]


def read_value(text: str, path: KeyPath) -> Part:
    """Parse one YAML document, also JSON, that is the value at a path: anything but nothing.

    Raises:
        UnreadableError: if there is no value.
    """
    node = _compose(text)
    if node is None:
        raise UnreadableError("the file is empty", None)
    conversion = _Conversion()
    value = conversion.value(node, path)
    return Part(value, {**conversion.positions, path: _position(node)}, tuple(conversion.findings))


def read_document(text: str) -> Document:
    """Parse one YAML document whose top level is a mapping, or nothing.

    Raises:
        UnreadableError: if there is no data to go on with.
    """
    node = _compose(text)
    if node is None or (isinstance(node, ScalarNode) and node.tag == _PLAIN and not node.value):
        return Document()
    if not isinstance(node, MappingNode):
        raise UnreadableError("the top level must be a mapping such as 'postgres:' and 'flows:'", _position(node))
    conversion = _Conversion()
    data = conversion.mapping(node, ())
    return Document(data, conversion.positions, tuple(conversion.findings))


class _Composer(yaml.SafeLoader):
    """Composes nodes without resolving what unquoted words mean, and not deeper than is sane."""

    _depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise UnreadableError(f"nested deeper than {_MAX_DEPTH} levels", _mark_position(self.get_mark()))
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def resolve(self, kind: type[Node], value: object, implicit: object) -> object:
        """Leave unquoted scalars to `plain_scalar`, which is stricter than the library."""
        if kind is ScalarNode and isinstance(implicit, tuple) and implicit[0]:
            return _PLAIN
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]


def _compose(text: str) -> Node | None:
    try:
        composer = _Composer(text)
        try:
            return composer.get_single_node()
        finally:
            composer.dispose()
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        position = Position(before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1)
        raise UnreadableError("not valid YAML: a character that YAML does not allow", position) from error
    except yaml.MarkedYAMLError as error:
        # The context ("while scanning a quoted scalar") explains an error that is noticed far from its cause.
        parts = [part for part in (error.context, error.problem) if part]
        problem = _QUOTED.sub("…", ", ".join(parts))
        raise UnreadableError(f"not valid YAML: {problem}", _mark_position(error.problem_mark)) from error
    except (ValueError, OverflowError) as error:
        # The scanner turns escapes such as "\UFFFFFFFF" into characters without a check.
        raise UnreadableError("not valid YAML: an escape that is no character", None) from error


class _Conversion:
    """Turns nodes into dicts, lists and scalars; expands aliases and merge keys within bounds."""

    def __init__(self) -> None:
        self.positions: dict[KeyPath, Position] = {}
        self.findings: list[Finding] = []
        self._values = 0
        self._depth = 0

    def mapping(self, node: MappingNode, path: KeyPath) -> dict[str, object]:
        """Return the entries of a mapping; a merged entry yields to the mapping's own."""
        result: dict[str, object] = {}
        for name, (key, value) in self._entries(node, path).items():
            self.positions[(*path, name)] = _position(key)
            result[name] = self.value(value, (*path, name))
        return result

    def value(self, node: Node, path: KeyPath) -> object:
        """Return what a node means."""
        with self._entered(node):
            self._check_tag(node, path)
            if isinstance(node, MappingNode):
                return self.mapping(node, path)
            if isinstance(node, SequenceNode):
                return [self._entry(child, (*path, index)) for index, child in enumerate(node.value)]
            return self._scalar(node, path)

    def _entry(self, node: Node, path: KeyPath) -> object:
        self.positions[path] = _position(node)
        return self.value(node, path)

    def _scalar(self, node: Node, path: KeyPath) -> object:
        text = str(node.value)
        if node.tag != _PLAIN:
            return text
        try:
            return plain_scalar(text)
        except AmbiguousScalarError as error:
            self.findings.append(Finding(path, str(error), position=_position(node), is_about_value=True))
            return text

    def _entries(self, node: MappingNode, path: KeyPath) -> dict[str, tuple[Node, Node]]:
        own: dict[str, tuple[Node, Node]] = {}
        merged: dict[str, tuple[Node, Node]] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._find(path, "a key must be a word, not a list or a mapping", key)
            elif key.tag == _PLAIN and key.value == _MERGE:
                for name, entry in self._merged(value, path).items():
                    merged.setdefault(name, entry)
            else:
                self._add(own, key, value, path)
        return merged | own

    def _add(self, own: dict[str, tuple[Node, Node]], key: ScalarNode, value: Node, path: KeyPath) -> None:
        name = str(key.value)
        if name in own:
            first = _position(own[name][0])
            self._find((*path, name), f"this key is given twice, first in line {first.line}", key)
            return
        own[name] = (key, value)
        self._check_tag(key, (*path, name))
        if key.tag == _PLAIN:
            try:
                plain_scalar(name)
            except AmbiguousScalarError as error:
                self._find((*path, name), str(error), key)

    def _merged(self, node: Node, path: KeyPath) -> dict[str, tuple[Node, Node]]:
        with self._entered(node):
            if isinstance(node, MappingNode):
                return self._entries(node, path)
            if isinstance(node, SequenceNode) and all(isinstance(child, MappingNode) for child in node.value):
                result: dict[str, tuple[Node, Node]] = {}
                for child in node.value:
                    result = self._merged(child, path) | result
                return result
        self._find((*path, _MERGE), "a merge key takes a mapping or a list of mappings", node)
        return {}

    def _check_tag(self, node: Node, path: KeyPath) -> None:
        if node.tag not in {_PLAIN, f"{_TAG}str", f"{_TAG}seq", f"{_TAG}map"}:
            self._find(path, "tags (words that begin with !) are not allowed; put the value in quotes", node)

    def _find(self, path: KeyPath, problem: str, node: Node) -> None:
        self.findings.append(Finding(path, problem, position=_position(node)))

    @contextmanager
    def _entered(self, node: Node) -> Iterator[None]:
        # An alias to its own ancestor is endless: the depth ends it.
        self._values += 1 if not isinstance(node, MappingNode) else 1 + len(node.value)
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise UnreadableError(f"nested deeper than {_MAX_DEPTH} levels by its aliases", _position(node))
        if self._values > _MAX_VALUES:
            raise UnreadableError(f"more than {_MAX_VALUES} values when its aliases are expanded", _position(node))
        yield
        self._depth -= 1


def _position(node: Node) -> Position:
    return _mark_position(node.start_mark) or Position(1, 1)


def _mark_position(mark: yaml.Mark | None) -> Position | None:
    return None if mark is None else Position(mark.line + 1, mark.column + 1)
