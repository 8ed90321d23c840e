"""A mapping in a file of its own: the same as inline, and its problems have its lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.config_cases import URLS, problems_of, settings_of

FIELDS = [{"source_field": "order.id", "target_field": "reference"}, {"target_field": "stage", "default": "won"}]
MAIN = (
    "connections: {crm: {base_url: https://crm.example.com}}\n"
    "flows: {a: {description: d, events: [e], adapter: {use: rest, connection: crm, path: /x}, mapping: %s}}\n"
)


@pytest.mark.parametrize("name", ["deal.yaml", "deal.json", "deals/deal.yml"])
def test_a_mapping_may_stand_in_a_file_beside_the_one_that_names_it(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(FIELDS, indent=1), encoding="utf-8")
    assert settings_of(MAIN % name, tmp_path) == settings_of(MAIN % json.dumps(FIELDS), tmp_path)
    assert settings_of(MAIN % "'${WHERE}'", tmp_path, {**URLS, "WHERE": name}).flows["a"].mapping


def test_a_file_that_an_included_file_names_is_relative_to_that_one(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "a.yaml").write_text(MAIN % "deal.yaml", encoding="utf-8")
    (tmp_path / "flows" / "deal.yaml").write_text("- target_field: stage\n  defalt: won\n", encoding="utf-8")
    assert problems_of("include: [flows/a.yaml]", tmp_path) == [
        "flows/deal.yaml:2:3 flows.a.mapping[0].defalt: unknown key; did you mean 'default'?",
    ]


BAD = {
    ("none.yaml", None): "outbox.yaml:2:91 flows.a.mapping: cannot read the file none.yaml: No such file or directory",
    ("deal.yaml", "a: ["): (
        "deal.yaml:1:5 flows.a.mapping: the file deal.yaml is no list of rules: not valid YAML: while parsing a flow "
        "node, expected the node content, but found '<stream end>'"
    ),
    ("deal.yaml", "- {target_field: a, default: on}"): (
        "deal.yaml:1:30 flows.a.mapping[0].default=on: unquoted yes, no, on and off mean true or false to some readers "
        "of YAML and text to others; write true or false, or put the word in quotes"
    ),
    ("deal.yaml", "- {target_field: a, default: '${NOPE}'}"): (
        "deal.yaml:1:21 flows.a.mapping[0].default: the environment variable NOPE is not set"
    ),
}


@pytest.mark.parametrize(("file", "problem"), BAD.items(), ids=str)
def test_what_is_wrong_with_the_file_is_told_in_its_lines(
    file: tuple[str, str | None], problem: str, tmp_path: Path
) -> None:
    name, text = file
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert problems_of(MAIN % name, tmp_path) == [problem]


def test_fractions_of_an_included_file_are_taken_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(MAIN % "[{target_field: rate, default: 0.10}]", encoding="utf-8")
    (rule,) = settings_of("include: [a.yaml]", tmp_path).flows["a"].mapping
    assert str(rule.default) == "0.10"
