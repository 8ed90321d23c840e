"""The settings of contracts, and the files of their directory as text. What the files mean is known in outbox.flow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Annotated, Literal

from pydantic import Field

from outbox.config.draft import Draft
from outbox.config.files import UnreadableFileError, read_text, shown_path
from outbox.config.problems import ConfigProblems, KeyPath, Place, Problem
from outbox.config.strict import Strict

SECTION, DIRECTORY, SAMPLES, TARGET_SCHEMA = "contracts", "directory", "samples", "target_schema"
# A schema is for people to read; something else given by mistake is not read to its end.
MAX_CONTRACT_BYTES = 1024 * 1024
_MAX_FILES = 10_000
# A README may lie beside the contracts.
_IGNORED_SUFFIXES = (".md",)
# A type and a version.
_MAX_PARTS = 2


class ContractSettings(Strict):
    """What payloads must look like."""

    directory: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Where the contracts are, from the settings file's folder; without it nothing is checked.",
            examples=["contracts"],
        ),
    ] = None
    samples: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Where samples of payloads are, from the settings file's folder, for outbox contract test.",
            examples=["samples"],
        ),
    ] = None
    without: Annotated[
        Literal["allow", "reject"],
        Field(description="An event whose type and version have no contract: published, or a dead letter."),
    ] = "allow"
    claimed: Annotated[
        Literal["reject", "allow"],
        Field(
            description="An event with a contract whose payload travels as a reference, so that the relay has not "
            "read it: a dead letter, or published without a check."
        ),
    ] = "reject"


def anchor_paths(draft: Draft) -> None:
    """Let relative paths begin where the file is that names them, and not where the process was started."""
    flows = draft.data.get("flows")
    named: list[tuple[KeyPath, object]] = [((SECTION, name), draft.data.get(SECTION)) for name in (DIRECTORY, SAMPLES)]
    if isinstance(flows, dict):
        named += [(("flows", name, TARGET_SCHEMA), flow) for name, flow in flows.items()]
    for place, section in named:
        name = str(place[-1])
        path = section.get(name) if isinstance(section, dict) else None
        if isinstance(section, dict) and isinstance(path, str) and path:
            section[name] = str(draft.directory_of(place) / path)


def read_contract_files(directory: Path) -> dict[str, str]:
    """Return the text of every file of a directory of contracts, by path with ``/`` between its parts.

    Hidden files, and folders in folders, are not looked at: Kubernetes mounts both.

    Raises:
        ConfigProblems: with everything that cannot be read.
    """
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    name = shown_path(str(directory))
    try:
        files = list(_files(directory))
    except OSError as error:
        raise _unusable(name, f"cannot be read: {error.strerror or type(error).__name__}") from error
    if len(files) > _MAX_FILES:
        raise _unusable(name, f"has {len(files)} files, more than {_MAX_FILES}")
    if not files:
        raise _unusable(name, "has no contract, for example order.confirmed/1.json")
    for file in files:
        path = file.relative_to(directory).as_posix()
        try:
            texts[path] = read_text(file, max_bytes=MAX_CONTRACT_BYTES)
        except UnreadableFileError as error:
            problems.append(Problem(Place("", f"{name}/{path}"), str(error)))
    if problems:
        raise ConfigProblems(problems, what="directory of contracts")
    return texts


def is_looked_at(path: PurePath) -> bool:
    """Say whether a file of the directory is one of those that are read, by its path in the directory."""
    is_hidden = any(part.startswith(".") for part in path.parts)
    return not is_hidden and len(path.parts) <= _MAX_PARTS and path.suffix not in _IGNORED_SUFFIXES


def _files(directory: Path) -> Iterator[Path]:
    for entry in sorted(directory.iterdir()):
        for file in sorted(entry.iterdir()) if entry.is_dir() and not entry.name.startswith(".") else (entry,):
            if not file.is_dir() and is_looked_at(file.relative_to(directory)):
                yield file


def _unusable(name: str, problem: str) -> ConfigProblems:
    return ConfigProblems([Problem(Place(f"{SECTION}.{DIRECTORY}", value=name), problem)])
