"""What ``outbox contract test`` reads: samples, the ids that they bring along, and the flows that they go through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from outbox.config.files import UnreadableFileError, read_text
from outbox.config.settings import Settings
from outbox.flow.contract import ContractKey, Validator
from outbox.flow.contract_samples import Sample, SampledFlow, links_of, target_validator
from outbox.flow.contract_set import contract_key
from outbox.model.errors import MappingError, Misconfigured
from outbox.model.mapping import Reference
from outbox.wiring_versions import casts_of, mapping_of

# Beside the folders of the types: ids of other systems that samples need.
LINKS_FILE = "links.json"
_MAX_BYTES = 16 * 1024 * 1024


def samples_in(directory: Path) -> list[Sample]:
    """Return the samples of a directory: ``order.confirmed/1/small.json``.

    Raises:
        Misconfigured: it has none, or a file of it is no sample.
    """
    samples = list(_samples(directory)) if directory.is_dir() else []
    if not samples:
        raise Misconfigured(
            f"{directory} has no samples", "put payloads there, for example order.confirmed/1/small.json"
        )
    return samples


def links_in(directory: Path) -> dict[Reference, str]:
    """Return the ids of other systems that a directory of samples brings along; none where it has no such file.

    Raises:
        Misconfigured: the file cannot be read.
    """
    file = directory / LINKS_FILE
    if not file.exists():
        return {}
    try:
        return links_of(_text(file).encode())
    except MappingError as error:
        example = '{"crm": {"customer": {"C-1001": "4711"}}}'
        raise Misconfigured(f"{file}: {error}", f"write ids as system, entity and key tell them: {example}") from error


def flows_of(settings: Settings) -> list[SampledFlow]:
    """Return the flows of the settings, ready for samples.

    Raises:
        Misconfigured: a target's schema cannot be used.
    """
    return [
        SampledFlow(
            name, flow.topics(), casts_of(settings, name), mapping_of(flow.mapping), _target(name, flow.target_schema)
        )
        for name, flow in settings.flows.items()
    ]


def _samples(directory: Path) -> Iterator[Sample]:
    for file in sorted(directory.rglob("*.json")):
        path = file.relative_to(directory)
        if path.as_posix() == LINKS_FILE or any(part.startswith(".") for part in path.parts):
            continue
        yield Sample(str(file), _key(file, path), _text(file).encode())


def _key(file: Path, path: Path) -> ContractKey:
    key = contract_key(f"{path.parent.as_posix()}.json")
    if key is None:
        raise Misconfigured(
            f"{file} is no name of a sample", "call it TYPE/VERSION/NAME.json, for example order.confirmed/1/small.json"
        )
    return key


def _text(file: Path) -> str:
    try:
        return read_text(file, max_bytes=_MAX_BYTES)
    except UnreadableFileError as error:
        raise Misconfigured(str(error), "correct the file, or take it away") from error


def _target(name: str, schema: str | None) -> Validator | None:
    if schema is None:
        return None
    try:
        return target_validator(_text(Path(schema)))
    except ValueError as error:
        raise Misconfigured(f"flows.{name}.target_schema: {schema}: {error}", "correct the file") from error
