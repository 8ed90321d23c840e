"""What ``outbox contract test`` reads: samples, and the flows that they go through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from outbox.config.files import UnreadableFileError, read_text
from outbox.config.settings import Settings
from outbox.flow.contract import ContractKey, Validator
from outbox.flow.contract_samples import Sample, SampledFlow, target_validator
from outbox.flow.contract_set import contract_key
from outbox.model.errors import Misconfigured
from outbox.wiring_versions import casts_of, mapping_of

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
        if any(part.startswith(".") for part in path.parts):
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
