"""Settings that stand in a file of their own: a field that is given as a path, filled with what is in the file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from outbox.config.document import UnreadableError, read_value
from outbox.config.draft import Draft
from outbox.config.files import UnreadableFileError, shown_path
from outbox.config.include import MAX_FILE_BYTES
from outbox.config.problems import Finding, KeyPath, Position
from outbox.config.references import substituted

_FORMS = (".yaml", ".yml", ".json")


def attach_mappings(draft: Draft, environ: Mapping[str, str]) -> set[str]:
    """Fill every flow's mapping that is a path; return the names of the variables that were mentioned."""
    names: set[str] = set()
    flows = draft.data.get("flows")
    for name, flow in flows.items() if isinstance(flows, dict) else ():
        if isinstance(flow, dict) and isinstance(flow.get("mapping"), str):
            attach(draft, flow, ("flows", name, "mapping"), environ, names)
    return names


def attach(
    draft: Draft, section: dict[str, object], path: KeyPath, environ: Mapping[str, str], names: set[str]
) -> None:
    """Replace the name of a YAML or JSON file by its content, whose problems then have its lines.

    Args:
        draft: learns where everything stands; what is wrong with the file goes to it.
        section: the mapping in which the field stands, changed in place.
        path: of the field.
        environ: for `${NAME}` in the name.
        names: gets the variables that are mentioned.
    """
    key = str(path[-1])
    given = substituted(section[key], path, draft, environ, names)
    if draft.is_broken(path):
        return
    file = Path(os.path.normpath(draft.directory_of(path) / str(given)))
    if file.suffix not in _FORMS:
        draft.find(Finding(path, f"must be a list, or the name of a file that ends in {', '.join(_FORMS)}"))
        return
    name = shown_path(str(file))
    try:
        part = read_value(draft.reader.text(file, max_bytes=MAX_FILE_BYTES, must_be_regular=True), path)
    except UnreadableFileError as error:
        draft.find(Finding(path, str(error)))
        return
    except UnreadableError as error:
        draft.find(Finding(path, error.problem, position=replace(error.position or Position(1, 1), file=name)))
        return
    for finding in part.findings:
        draft.find(replace(finding, position=replace(finding.position or Position(1, 1), file=name)))
    draft.positions = dict(draft.positions) | {
        where: replace(position, file=name) for where, position in part.positions.items()
    }
    section[key] = part.value
