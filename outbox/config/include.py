"""Settings in several files: `include:` lists them, relative to the file that includes; one level, each name once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from outbox.config.document import Document, UnreadableError, read_document
from outbox.config.draft import Draft
from outbox.config.expected import Kind, expected_at, keys_of
from outbox.config.files import UnreadableFileError, shown_path
from outbox.config.problems import Finding, KeyPath, Position, shown
from outbox.config.references import substituted
from outbox.config.sentences import must_be
from outbox.config.settings import Settings

INCLUDE = "include"
# Thousands of flows fit; something else given by mistake is not read to its end.
MAX_FILE_BYTES = 1024 * 1024
_MAX_FILES = 500
_MAX_ALL_BYTES = 4 * MAX_FILE_BYTES
_EXAMPLE = "for example [flows/*.yaml]"


def read_includes(draft: Draft, main: Path, environ: Mapping[str, str]) -> set[str]:
    """Put what the included files say beside what the main file says; what is wrong goes to the draft.

    Args:
        draft: holds what the main file says.
        main: the main file; it is relative to its folder that the others are looked for.
        environ: for `${NAME}` in a file's name.

    Returns:
        the names of the variables that were mentioned.
    """
    names: set[str] = set()
    entries = draft.data.pop(INCLUDE, None)
    if entries is None:
        return names
    if not isinstance(entries, list):
        draft.find(Finding((INCLUDE,), f"must be a list of files, {_EXAMPLE}"))
        return names
    seen: dict[str, KeyPath] = {_identity(main): (INCLUDE,)}
    read_bytes = 0
    for index, entry in enumerate(entries):
        path = (INCLUDE, index)
        for file in _files(draft, main, substituted(entry, path, draft, environ, names), path):
            identity = _identity(file)
            if seen.get(identity) == (INCLUDE,):
                draft.find(Finding(path, "includes this file itself; put the others into a folder of their own"))
            if identity in seen:
                continue
            seen[identity] = path
            read_bytes += _read(draft, file, path)
            if len(seen) > _MAX_FILES or read_bytes > _MAX_ALL_BYTES:
                limits = f"{_MAX_FILES} files and {_MAX_ALL_BYTES // 1024}KiB"
                draft.find(Finding(path, f"is more than is read: {limits} altogether; is the pattern too wide?"))
                draft.is_partial = True
                return names
    return names


def _files(draft: Draft, main: Path, entry: object, path: KeyPath) -> Iterator[Path]:
    """Yield the files that one entry names."""
    if draft.is_broken(path):
        draft.is_partial = True
    elif not isinstance(entry, str) or not entry or "\0" in entry:
        draft.find(Finding(path, f"must be the name of a file or a pattern, {_EXAMPLE}"))
    elif "**" in entry:
        # It follows links, and two that lead to their own folder have more paths than can ever be looked at.
        draft.find(Finding(path, "** is not known here; name each folder with a pattern of its own"))
    elif set("*?[") & set(entry):
        found = draft.reader.matches(main.parent, entry)
        if not found:
            folder = shown_path(str(main.parent))
            draft.find(Finding(path, f"the pattern {shown(entry)} matches no file in {folder}"))
        yield from found
    else:
        yield main.parent / entry


def _identity(file: Path) -> str:
    return os.path.realpath(file)


def _read(draft: Draft, file: Path, path: KeyPath) -> int:
    """Merge one file; return how large it is."""
    name = shown_path(os.path.normpath(file))
    try:
        text = draft.reader.text(file, max_bytes=MAX_FILE_BYTES, must_be_regular=True)
    except UnreadableFileError as error:
        advice = "to include what is in a folder, write its name and /*.yaml" if file.is_dir() else None
        draft.find(Finding(path, str(error), advice))
        draft.is_partial = True
        return 0
    size_bytes = len(text.encode())
    try:
        document = read_document(text)
    except UnreadableError as error:
        draft.find(Finding((), error.problem, position=_in(name, error.position or Position(1, 1))))
        draft.is_partial = True
        return size_bytes
    _merge(draft, document, name)
    return size_bytes


def _merge(draft: Draft, document: Document, name: str) -> None:
    positions = {path: _in(name, position) for path, position in document.positions.items()}
    for finding in document.findings:
        draft.find(replace(finding, position=_in(name, finding.position or Position(1, 1))))
    given = dict(document.data)
    if INCLUDE in given:
        del given[INCLUDE]
        problem = f"an included file cannot include others; list them in {draft.file_name}"
        draft.find(Finding((INCLUDE,), problem, position=positions[INCLUDE,]))
    _merge_into(draft, draft.data, given, (), positions)
    draft.positions = positions | draft.positions
    draft.fractions = {**document.fractions, **draft.fractions}


def _merge_into(
    draft: Draft,
    known: dict[str, object],
    given: Mapping[str, object],
    path: KeyPath,
    positions: Mapping[KeyPath, Position],
) -> None:
    for key, value in given.items():
        here, there = (*path, key), known.get(key)
        if there is None or key not in known:
            known[key] = value
        elif value is None:
            continue
        elif isinstance(there, dict) and isinstance(value, dict) and _is_shared(here):
            _merge_into(draft, there, value, here, positions)
        elif isinstance(there, dict) and _is_shared(here):
            # Not broken: what the other file says there is judged all the same.
            draft.findings.append(
                Finding(here, must_be(expected_at(Settings, here), value), position=positions.get(here))
            )
        else:
            first = draft.positions.get(here)
            place = "" if first is None else f", first in {first.file or draft.file_name}:{first.line}:{first.column}"
            draft.findings.append(Finding(here, f"is given twice{place}", position=positions.get(here)))


def _is_shared(path: KeyPath) -> bool:
    """Say whether several files may add to what stands here: a section, or the names in one; not what a name means."""
    expected = expected_at(Settings, path)
    if not any(one.kind is Kind.MAPPING for one in expected):
        return False
    are_names = not keys_of(expected) and bool(keys_of(expected_at(Settings, path[:-1])))
    return len(path) == 1 or are_names


def _in(name: str, position: Position) -> Position:
    return replace(position, file=name)
