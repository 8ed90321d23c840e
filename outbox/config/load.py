"""The one way to settings: file, environment, references, models, and all problems in one error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from outbox.config.channels import check_channels
from outbox.config.choices import choose_adapters
from outbox.config.contracts import anchor_paths
from outbox.config.creators import check_creators
from outbox.config.document import UnreadableError, read_document
from outbox.config.draft import Draft
from outbox.config.environment import (
    CONFIG_VARIABLE,
    DEFAULT_FILE,
    Environment,
    read_environment,
    unknown_variables,
)
from outbox.config.expected import Kind, expected_at
from outbox.config.files import FilesRead, UnreadableFileError, shown_path
from outbox.config.include import INCLUDE, MAX_FILE_BYTES, read_includes
from outbox.config.inspection import inspected_sections
from outbox.config.mapping_files import prepare_mappings, read_mapping_files
from outbox.config.problems import ConfigProblems, Finding, Place, Problem
from outbox.config.references import substitute
from outbox.config.repair import repaired_sections
from outbox.config.sentences import Subject, add_findings, must_be
from outbox.config.settings import Settings
from outbox.config.transforms import TABLES


def load(
    *,
    path: Path | None,
    environ: Mapping[str, str],
    adapters: Mapping[str, type[BaseModel]],
    mappings: Mapping[str, Path] | None = None,
    files: FilesRead | None = None,
) -> Settings:
    """Read and check the whole configuration.

    Args:
        path: the file asked for on the command line; else `OUTBOX_CONFIG`, else `outbox.yaml` if it exists.
        environ: the process environment; wins over the file.
        adapters: the settings model of each adapter that a flow may use.
        mappings: files with rules that stand in for those of flows, to see what they would do.
        files: remembers what is read, also when it is wrong; for who wants to know when it changes.

    Raises:
        ConfigProblems: with every problem.
    """
    environment = read_environment(environ)
    draft = Draft(variables=environment.settings, reader=files or FilesRead())
    lost_file, main = _read_file(draft, path, environment)
    referenced = read_includes(draft, main, environ)
    referenced |= read_mapping_files(draft, mappings or {}, environ)
    _complete_sections(draft)
    for key_path in draft.variables:
        draft.set_variable(key_path)
    referenced |= substitute(draft, environ)
    anchor_paths(draft)
    settings = _validated(draft, adapters)
    problems = [*environment.problems, *draft.problems()]
    if lost_file is None:
        problems += unknown_variables(environ, referenced)
    else:
        # Without the file nobody knows what is missing; what the environment says can be judged all the same.
        problems = [lost_file, *(problem for problem in problems if problem.place.name in environ)]
    if problems or settings is None:
        raise ConfigProblems(problems)
    return settings


def _read_file(draft: Draft, path: Path | None, environment: Environment) -> tuple[Problem | None, Path]:
    """Fill the draft from the settings file, if there is one; return why that is impossible, and the file."""
    if path is not None:
        place = Place("--config")
    elif environment.config is not None:
        path, place = Path(environment.config), Place(CONFIG_VARIABLE)
    else:
        path, place = Path(DEFAULT_FILE), Place(DEFAULT_FILE)
        if not path.exists():
            draft.reader.note(path)
            return None, path
    name = shown_path(str(path))
    try:
        document = read_document(draft.reader.text(path, max_bytes=MAX_FILE_BYTES))
    except UnreadableFileError as error:
        return Problem(place, str(error)), path
    except UnreadableError as error:
        return Problem(Place("", file=name, position=error.position), error.problem), path
    draft.file, draft.data = name, document.data
    draft.positions.update(document.positions)
    draft.fractions.update(document.fractions)
    for finding in document.findings:
        draft.find(finding)
    return None, path


def _complete_sections(draft: Draft) -> None:
    """Give every section a mapping, so that each setting can be judged, or missed, by its own path."""
    for name in Settings.model_fields:
        expected = expected_at(Settings, (name,))
        section = draft.data.get(name)
        if isinstance(section, dict) or expected[0].kind is not Kind.MAPPING:
            continue
        if section is not None:
            finding = Finding((name,), must_be(expected, section))
            is_also_in_environment = any(path[0] == name for path in draft.variables)
            # With the path marked as broken, what the environment says about the section would not be judged.
            (draft.findings.append if is_also_in_environment else draft.find)(finding)
        draft.data[name] = {}


def _validated(draft: Draft, adapters: Mapping[str, type[BaseModel]]) -> Settings | None:
    context = {TABLES: prepare_mappings(draft)}
    values = inspected_sections(draft, Settings, draft.data, ())
    check_creators(draft)
    choose_adapters(draft, values, adapters)
    check_channels(draft, values)
    try:
        return Settings.model_validate(values, context=context)
    except ValidationError as error:
        add_findings(draft, error, Subject(Settings, values, also_known=(INCLUDE,)))
    # Rules between fields are judged only when all fields of a section are right: look past what is known.
    repaired = repaired_sections(draft, Settings, values)
    try:
        Settings.model_validate(repaired, context=context)
    except ValidationError as error:
        add_findings(draft, error, Subject(Settings, repaired, also_known=(INCLUDE,)))
    return None
