"""References between the files of a directory: what they mean, and what they reach. Nothing is fetched."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import unquote

from outbox.flow.contract_keywords import SchemaPath, every_schema, subschemas

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")

# What stands under these describes the value itself, and not a part of it.
_OF_THE_SAME_VALUE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})

Schemas = Mapping[str, Mapping[str, object]]


class Target(NamedTuple):
    """What a reference means: a file of the directory, and a JSON Pointer or an anchor in it."""

    file: str
    fragment: str


class UnresolvedReference(Exception):
    """A reference leads nowhere; ``file`` is where it led."""

    def __init__(self, file: str, problem: str) -> None:
        self.file = file
        super().__init__(problem)


def target_of(file: str, reference: str) -> Target:
    """Return what a reference in a file means.

    Raises:
        UnresolvedReference: it leads out of the directory; nothing is ever fetched.
    """
    if _SCHEME.match(reference):
        raise UnresolvedReference(
            "", "refers to another place: only files of the directory are read, nothing is fetched"
        )
    path, _, fragment = reference.partition("#")
    if not path:
        return Target(file, unquote(fragment))
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(file), unquote(path)))
    if joined.startswith(("/", "..")):
        raise UnresolvedReference("", "refers to a file outside of the directory")
    return Target(joined, unquote(fragment))


def resolve(schemas: Schemas, target: Target) -> object:
    """Return the schema that a reference means.

    Raises:
        UnresolvedReference: there is no such file, or no such place in it.
    """
    root = schemas.get(target.file)
    if root is None:
        raise UnresolvedReference(target.file, f"refers to {target.file}, which is not there")
    if not target.fragment.startswith("/"):
        return _anchored(root, target)
    here: object = root
    for part in target.fragment[1:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict) and name in here:
            here = here[name]
        elif isinstance(here, list) and name.isdecimal() and int(name) < len(here):
            here = here[int(name)]
        else:
            raise UnresolvedReference(target.file, f"refers to #{target.fragment} of {target.file}, which is not there")
    return here


def reachable(schemas: Schemas, file: str) -> Iterator[Mapping[str, object]]:
    """Yield every schema of a file and of all that it refers to, each once."""
    pending, seen = [file], {file}
    while pending:
        name = pending.pop()
        for _, schema in every_schema(schemas[name]):
            yield schema
            for word in ("$ref", "$dynamicRef"):
                reference = schema.get(word)
                if isinstance(reference, str) and (other := target_of(name, reference).file) not in seen:
                    seen.add(other)
                    pending.append(other)


def circles(schemas: Schemas) -> Iterator[tuple[str, SchemaPath]]:
    """Yield the schemas that describe a value by themselves: ``{"allOf": [{"$ref": "#"}]}``, also through others."""
    ended: set[int] = set()
    for file, root in schemas.items():
        for path, schema in every_schema(root):
            if _is_circle(schemas, file, schema, ended):
                yield file, path


def _is_circle(schemas: Schemas, file: str, start: Mapping[str, object], ended: set[int]) -> bool:
    """Walk over what describes the same value; ``ended`` are schemas that lead into no circle."""
    pending: list[tuple[str, object]] = list(_beside(schemas, file, start))
    seen: set[int] = set()
    while pending:
        name, schema = pending.pop()
        if schema is start:
            return True
        if isinstance(schema, dict) and id(schema) not in seen | ended:
            seen.add(id(schema))
            pending += _beside(schemas, name, schema)
    ended.add(id(start))
    return False


def _beside(schemas: Schemas, file: str, schema: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for path, member in subschemas(schema):
        if path[0] in _OF_THE_SAME_VALUE:
            yield file, member
    for word in ("$ref", "$dynamicRef"):
        if isinstance(reference := schema.get(word), str):
            target = target_of(file, reference)
            yield target.file, resolve(schemas, target)


def _anchored(root: Mapping[str, object], target: Target) -> object:
    if not target.fragment:
        return root
    for _, schema in every_schema(root):
        if target.fragment in {schema.get("$anchor"), schema.get("$dynamicAnchor")}:
            return schema
    raise UnresolvedReference(target.file, f"refers to #{target.fragment} of {target.file}, which is not there")
