"""From the files of a directory to compiled contracts; every problem of every file at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import jsonschema_rs

from outbox.config.document import UnreadableError, read_document
from outbox.config.problems import ConfigProblems, Place, Position, Problem, did_you_mean
from outbox.flow.contract import MASK, Contract, ContractKey, ContractSet
from outbox.flow.contract_keywords import DEPRECATED_ON, DIALECT, EXTENSION_PREFIX, KEYWORDS, SchemaPath, every_schema
from outbox.flow.contract_refs import UnresolvedReference, circles, reachable, resolve, target_of
from outbox.model.strict_json import is_deeper

# Deeper than any schema that a person writes.
_MAX_DEPTH = 64
# outbox.event.version is an integer of 32 bits.
_MAX_VERSION = 2**31 - 1
_CONTRACT_FILE = re.compile(r"(?P<type>[A-Za-z0-9-][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*)/(?P<version>[1-9][0-9]*)\.json")
_SHARED_FILE = re.compile(r"_[A-Za-z0-9_-]*/[A-Za-z0-9._-]+\.json")
_NAMES = (
    "a contract is TYPE/VERSION.json, for example order.confirmed/1.json; what contracts share is in a folder whose "
    "name begins with _, for example _shared/money.json"
)
_DIALECTS = (DIALECT, f"{DIALECT}#")
# A base is needed for relative references; nothing is ever retrieved from it.
_BASE = "contract:/"


@dataclass(slots=True)
class _Draft:
    """The schemas that could be read, and what was wrong."""

    directory: str
    texts: Mapping[str, str]
    schemas: dict[str, dict[str, object]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def find(
        self, file: str, problem: str, path: SchemaPath = (), position: Position | None = None, hint: str | None = None
    ) -> None:
        """Keep a problem with the line that it is in."""
        place = Place(_pointer(path), f"{self.directory}/{file}", position or _position(self.texts[file], path))
        self.problems.append(Problem(place, problem, hint))


def compile_contracts(directory: str, texts: Mapping[str, str]) -> ContractSet:
    """Compile the contracts of a directory.

    Args:
        directory: its name, for messages.
        texts: what its files hold, by path in the directory with ``/`` between the parts.

    Raises:
        ConfigProblems: with every problem of every file.
    """
    draft = _Draft(directory, texts)
    for file in sorted(texts):
        _read(draft, file)
    for file, schema in draft.schemas.items():
        for path, one in every_schema(schema):
            _check_words(draft, file, path, one)
        for error in _META.iter_errors(schema):
            draft.find(file, _said(error), tuple(error.instance_path))
    if not draft.problems:
        for file, path in circles(draft.schemas):
            draft.find(file, "leads back to itself without going down into the value: no value could be judged", path)
    contracts = {} if draft.problems else dict(_compiled(draft))
    if draft.problems:
        raise ConfigProblems(draft.problems, what="directory of contracts")
    return ContractSet(contracts, draft.schemas)


def contract_key(file: str) -> ContractKey | None:
    """Return which contract a file holds; None: what several share, or something else."""
    match = _CONTRACT_FILE.fullmatch(file)
    if match is None or int(match["version"]) > _MAX_VERSION:
        return None
    return ContractKey(match["type"], int(match["version"]))


def _read(draft: _Draft, file: str) -> None:
    if contract_key(file) is None and _SHARED_FILE.fullmatch(file) is None:
        draft.find(file, f"is no name of a contract: {_NAMES}")
        return
    try:
        schema = _DECODER.decode(draft.texts[file])
    except json.JSONDecodeError as error:
        # Some messages end in ": <the character found>".
        complaint = error.msg.partition(":")[0]
        draft.find(file, f"is not JSON: {complaint}", position=Position(error.lineno, error.colno))
    except (ValueError, ArithmeticError) as error:
        draft.find(file, f"is not usable JSON: {error}")
    except RecursionError:
        draft.find(file, f"is nested deeper than {_MAX_DEPTH} levels")
    else:
        if not isinstance(schema, dict):
            draft.find(file, "must be a JSON object")
        elif is_deeper(schema, _MAX_DEPTH):
            draft.find(file, f"is nested deeper than {_MAX_DEPTH} levels")
        else:
            draft.schemas[file] = schema


def _check_words(draft: _Draft, file: str, path: SchemaPath, schema: Mapping[str, object]) -> None:
    for word, value in schema.items():
        at = (*path, word)
        if word == DEPRECATED_ON and (path or not _is_date(value)):
            draft.find(file, "must be a date such as 2027-03-31, at the top of a contract", at)
        if word in {"$id", "$vocabulary"}:
            draft.find(file, "is not allowed: files refer to each other by their path", at)
        elif word == "$schema" and value not in _DIALECTS:
            draft.find(file, f"must be {DIALECT}, or left out", at)
        elif word not in KEYWORDS and not word.startswith(EXTENSION_PREFIX):
            hint = did_you_mean(word, sorted(KEYWORDS)) or "words of your own begin with x-"
            draft.find(file, "is no keyword of JSON Schema 2020-12", at, hint=hint)
        elif word in {"$ref", "$dynamicRef"} and isinstance(value, str):
            try:
                resolve(draft.schemas, target_of(file, value))
            except UnresolvedReference as error:
                # A file that is there and cannot be read is told already.
                if error.file not in draft.texts or error.file in draft.schemas:
                    draft.find(file, str(error), at)


def _compiled(draft: _Draft) -> Iterator[tuple[ContractKey, Contract]]:
    registry = jsonschema_rs.Registry([(f"{_BASE}{file}", schema) for file, schema in draft.schemas.items()])
    for file, schema in draft.schemas.items():
        try:
            validator = jsonschema_rs.Draft202012Validator(
                schema,
                # What is written is checked: 2020-12 alone would take "format" for a remark.
                validate_formats=True,
                ignore_unknown_formats=False,
                registry=registry,
                base_uri=f"{_BASE}{file}",
                # Linear time, whatever the text: no look-around, no back references.
                pattern_options=jsonschema_rs.RegexOptions(),
                mask=MASK,
                offline=True,
            )
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
            path = tuple(error.instance_path) if isinstance(error, jsonschema_rs.ValidationError) else ()
            draft.find(file, _said(error), path)
            continue
        key = contract_key(file)
        if key is not None:
            names = frozenset(_names(reachable(draft.schemas, file)))
            until = schema.get(DEPRECATED_ON)
            yield key, Contract(key, file, schema, validator, names, until if isinstance(until, str) else None)


def _names(schemas: Iterable[Mapping[str, object]]) -> Iterator[str]:
    for schema in schemas:
        properties, required = schema.get("properties"), schema.get("required")
        yield from properties if isinstance(properties, dict) else ()
        yield from required if isinstance(required, list) else ()
        dependent = schema.get("dependentRequired")
        for names in dependent.values() if isinstance(dependent, dict) else ():
            yield from names


def _said(error: jsonschema_rs.ValidationError | jsonschema_rs.ReferencingError) -> str:
    if isinstance(error, jsonschema_rs.ReferencingError):
        return error.message
    is_pattern = bool(error.instance_path) and error.instance_path[-1] in {"pattern", "patternProperties"}
    if is_pattern or '"regex"' in error.message:
        return (
            "is no regular expression that can be matched in linear time (no look-around, no back references, "
            "see docs/contracts.md)"
        )
    return error.message.partition("\n")[0]


def _is_date(value: object) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _position(text: str, path: SchemaPath) -> Position | None:
    """Return where a part of a file stands. JSON is YAML, and that reader knows lines."""
    try:
        positions = read_document(text).positions
    except UnreadableError:
        return None
    for length in range(len(path), 0, -1):
        if path[:length] in positions:
            return positions[path[:length]]
    return Position(1, 1)


def _pointer(path: SchemaPath) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


def _unique(members: list[tuple[str, object]]) -> dict[str, object]:
    built: dict[str, object] = {}
    for name, value in members:
        if name in built:
            raise ValueError(f"the key {name!r} is there twice in one object")
        built[name] = value
    return built


def _constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=Decimal, parse_constant=_constant)
_META = jsonschema_rs.Draft202012Validator({"$ref": DIALECT})
