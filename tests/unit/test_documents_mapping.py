"""docs/mapping.md against the settings that it describes; its examples are run."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from adapters.json_text import encode
from outbox.config.document import read_entries
from outbox.config.mapping import MappingField, Transform
from outbox.config.strict import Strict
from outbox.config.transforms import Date, DecimalPlaces, Divide, Number, Pad, Table, Unit, Xref
from outbox.model.measures import UNITS
from tests.unit.mapping_cases import compiled

TEXT = (Path(__file__).parents[2] / "docs" / "mapping.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```\n\n```json\n(.*?)```\n\n```json\n(.*?)```", TEXT, re.DOTALL)


def _rows(heading: str) -> list[list[str]]:
    rows = TEXT.split(f"{heading}\n", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


TRANSFORMS = _rows("| transform | of | becomes | what it does |")


@pytest.mark.parametrize("row", TRANSFORMS, ids=lambda row: row[0])
def test_every_example_of_a_transform_does_what_is_told(row: list[str]) -> None:
    transform, of, becomes = (re.sub(r"^`(.*)`$", r"\1", cell) for cell in row[:3])
    rule = {"source_field": "v", "target_field": "v", "transform": yaml.safe_load(transform)}

    made = encode(compiled(rule).apply(f'{{"v": {of}}}'.encode())).decode()

    assert made == ("{}" if becomes == "missing" else f'{{"v":{becomes}}}')


def test_every_transform_has_an_example() -> None:
    # What xref gives is looked up elsewhere.
    shown = {name for row in TRANSFORMS for name in re.findall(r"[a-z_]+", row[0])}
    assert set(Transform.model_fields) - {"xref"} <= shown


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_mapping_makes_of_its_document_what_is_told(number: int) -> None:
    rules, document, result = EXAMPLES[number]
    entries = read_entries(rules).entries
    assert all(isinstance(entry, dict) for entry in entries)

    made = compiled(*entries).apply(document.encode())  # type: ignore[arg-type]

    assert encode(made).decode() == encode(json.loads(result, parse_float=Decimal)).decode()


def test_there_is_an_example_for_each_part() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("| key |", MappingField),
        ("| `decimal`, key |", DecimalPlaces),
        ("| `divide`, key |", Divide),
        ("| `number`, key |", Number),
        ("| `pad_left`, key |", Pad),
        ("| `unit`, key |", Unit),
        ("| `date`, key |", Date),
        ("| `table`, key |", Table),
        ("| `xref`, key |", Xref),
    ],
)
def test_every_key_has_a_row_and_every_row_a_key(heading: str, model: type[Strict]) -> None:
    told = [row[0].strip("`") for row in _rows(f"{heading} what it is | default |")]
    assert sorted(told) == sorted(field.alias or name for name, field in model.model_fields.items())


def test_every_unit_is_told() -> None:
    assert set(re.findall(r"`([a-z0-9_]+)`", TEXT.split("\nUnits: ", 1)[1].split("\n\n", 1)[0])) == set(UNITS)
