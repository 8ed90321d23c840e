"""What mappings say in other files, and their short forms spelled out, before the models see them.

Every file that was read is noted in the draft, so that somebody can watch it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from outbox.config.csv_tables import BadTableError, read_table
from outbox.config.document import UnreadableError, read_entries
from outbox.config.draft import Draft
from outbox.config.files import UnreadableFileError, read_text, shown_path
from outbox.config.include import MAX_FILE_BYTES
from outbox.config.mapping import steps_of
from outbox.config.problems import Finding, KeyPath, Position
from outbox.config.references import substituted
from outbox.config.transforms import TableName
from outbox.model.mapping_conflicts import RuleShape, conflicts_of, repeated

_COMPUTED = ("template", "position", "fields")
_FLOWS = "flows"
_OWNERS = (_FLOWS, "upcasters", "downcasters")
Tables = dict[TableName, dict[str, str]]


def read_mapping_files(draft: Draft, instead: Mapping[str, Path], environ: Mapping[str, str]) -> set[str]:
    """Put the rules of each mapping that is the name of a file into its place; what is wrong goes to the draft.

    Args:
        draft: the settings.
        instead: files that stand in for the mappings of flows, by their names.
        environ: for `${NAME}` in the name of a file.

    Returns:
        the names of the variables that were mentioned.
    """
    names: set[str] = set()
    for path, owner in _owners(draft):
        if path[0] == _FLOWS and path[1] in instead:
            owner["mapping"] = _entries_of(draft, path, instead[str(path[1])])
        elif isinstance(owner.get("mapping"), str) and not draft.is_broken(path):
            file = str(substituted(owner["mapping"], path, draft, environ, names))
            if not draft.is_broken(path):
                owner["mapping"] = _entries_of(draft, path, Path(os.path.normpath(draft.directory_of(path) / file)))
    return names


def is_rules_file(file: Path) -> bool:
    """Say whether a file has rules of a mapping and not settings: its top level is a list."""
    try:
        read_entries(read_text(file, max_bytes=MAX_FILE_BYTES))
    except (UnreadableError, UnreadableFileError):
        return False
    return True


def _entries_of(draft: Draft, path: KeyPath, file: Path) -> list[object]:
    name = shown_path(str(file))
    try:
        document = read_entries(draft.reader.text(file, max_bytes=MAX_FILE_BYTES, must_be_regular=True))
    except UnreadableFileError as error:
        draft.find(Finding(path, str(error)))
        return []
    except UnreadableError as error:
        position = None if error.position is None else replace(error.position, file=name)
        draft.find(Finding(path, f"the file {name} is no list of rules: {error.problem}", position=position))
        return []
    draft.positions[path] = Position(1, 1, file=name)
    for place, position in document.positions.items():
        draft.positions[*path, *place] = replace(position, file=name)
    draft.fractions.update({(*path, *place): text for place, text in document.fractions.items()})
    for finding in document.findings:
        position = None if finding.position is None else replace(finding.position, file=name)
        draft.find(replace(finding, path=(*path, *finding.path), position=position))
    return document.entries


def prepare_mappings(draft: Draft) -> Tables:
    """Spell out short forms, judge the rules of each level together, and read the CSV files of value tables.

    Returns:
        what the tables hold, by how the settings name them.
    """
    tables: Tables = {}
    for path, owner in _owners(draft):
        if isinstance(owner.get("mapping"), list):
            owner["mapping"] = _exact(draft, path, owner["mapping"])
        _prepare(draft, path, owner.get("mapping"), tables)
    return tables


def _owners(draft: Draft) -> Iterator[tuple[KeyPath, dict[str, object]]]:
    """Yield where a mapping stands, and the section that it stands in: flows, and steps between versions."""
    for section in _OWNERS:
        owners = draft.data.get(section)
        for name, owner in owners.items() if isinstance(owners, dict) else ():
            if isinstance(owner, dict):
                yield (section, name, "mapping"), owner


def _exact(draft: Draft, path: KeyPath, value: object) -> object:
    """Return the same with every fraction as it is written: money is set here, and 0.10 is not 0.1."""
    match value:
        case dict():
            return {key: _exact(draft, (*path, key), child) for key, child in value.items()}
        case list():
            return [_exact(draft, (*path, place), child) for place, child in enumerate(value)]
        case float():
            return Decimal(draft.fractions.get(path, repr(value)))
        case _:
            return value


def _prepare(draft: Draft, path: KeyPath, entries: object, tables: Tables) -> None:
    if not isinstance(entries, list):
        return
    for number, entry in enumerate(entries):
        here = (*path, number)
        if isinstance(entry, dict):
            if "transform" in entry:
                entry["transform"] = steps_of(entry["transform"])
                _read_tables(draft, (*here, "transform"), entry["transform"], tables)
                _refuse_references(draft, (*here, "transform"), entry["transform"])
            _prepare(draft, (*here, "fields"), entry.get("fields"), tables)
    _judge(draft, path, entries)


def _judge(draft: Draft, path: KeyPath, entries: list[object]) -> None:
    places: list[int] = []
    shapes: list[RuleShape] = []
    for number, entry in enumerate(entries):
        if isinstance(entry, dict) and isinstance(target := entry.get("target_field"), str):
            places.append(number)
            source, when = entry.get("source_field"), entry.get("when")
            shapes.append(
                RuleShape(
                    source if isinstance(source, str) else None,
                    target,
                    when if isinstance(when, str) else None,
                    is_computed=any(name in entry for name in _COMPUTED),
                )
            )
    judges: list[Callable[[list[RuleShape]], Iterator[tuple[int, str]]]] = [conflicts_of]
    # On the first level the flow itself tells what is filled twice.
    if path[0] != _FLOWS or path[-1] == "fields":
        judges.append(repeated)
    for judge in judges:
        for number, problem in judge(shapes):
            draft.findings.append(Finding((*path, places[number], "target_field"), problem))


def _refuse_references(draft: Draft, path: KeyPath, steps: object) -> None:
    """Let a step between versions say what the payload says, whoever takes it and whenever."""
    for number, step in enumerate(steps if path[0] != _FLOWS and isinstance(steps, list) else ()):
        if isinstance(step, dict) and "xref" in step:
            problem = "must not stand here: what a payload means must not depend on what other systems know"
            draft.findings.append(Finding((*path, number, "xref"), problem, "look the id up in the flow's mapping"))


def _read_tables(draft: Draft, path: KeyPath, steps: object, tables: Tables) -> None:
    for number, step in enumerate(steps if isinstance(steps, list) else ()):
        table = step.get("table") if isinstance(step, dict) else None
        if not isinstance(table, dict) or not isinstance(table.get("file"), str):
            continue
        # As it is found from here, wherever the file stands that names it.
        file = draft.directory_of(path) / table["file"]
        table["file"] = str(file)
        name = (str(file), str(table.get("key")), str(table.get("value")), str(table.get("delimiter", ",")))
        if name in tables or not all(isinstance(table.get(column), str) for column in ("key", "value")):
            continue
        draft.reader.note(file)
        try:
            tables[name] = read_table(file, key=name[1], value=name[2], delimiter=name[3])
        except BadTableError as error:
            place = (*path, number, "table", "file")
            for problem in error.problems:
                draft.find(Finding(place, problem))
