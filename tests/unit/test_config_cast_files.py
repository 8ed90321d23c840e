"""The mapping of a step between versions in a file of its own: the same as a flow's, but for what must not be in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from outbox.config.files import FilesRead
from outbox.config.load import load
from outbox.wiring_versions import casts_of
from tests.unit.config_cases import ADAPTERS, URLS, problems_of, settings_of

FLOWS = (
    "connections: {crm: {base_url: https://crm.example.com}}\n"
    "flows: {a: {description: d, events: [e@2], adapter: {use: rest, connection: crm, path: /x}}}\n"
)
UP = FLOWS + "upcasters: {e@1: {to: 2, mapping: %s}}\n"
DOWN = FLOWS + "downcasters: {e@3: {to: 2, mapping: %s}}\n"
RULES = """\
- {source_field: total, target_field: gross, transform: {multiply: 1.10}}
- source_field: state
  target_field: stage
  transform: {table: {file: tables/stages.csv, key: ours, value: theirs}}
- {target_field: rate, default: 0.10}
"""
NESTED = """\
- source_field: lines
  target_field: lines
  fields:
  - {source_field: sku, target_field: sku, transform: [trim, {xref: {entity: item, system: crm}}]}
"""


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("text", "version"), [(UP, 1), (DOWN, 3)])
def test_a_step_takes_its_mapping_from_a_file_with_tables_and_exact_numbers(
    text: str, version: int, tmp_path: Path
) -> None:
    write(tmp_path, "steps/e.yaml", RULES.replace("tables/", "../tables/"))
    write(tmp_path, "tables/stages.csv", "ours,theirs\nopen,1-new\n")

    casts = casts_of(settings_of(text % "steps/e.yaml", tmp_path), "a")

    assert casts("e", version, b'{"total": 2, "state": "open"}') == (2, b'{"gross":2.20,"stage":"1-new","rate":0.10}')


def test_a_step_in_the_settings_itself_has_tables_and_exact_numbers_as_well(tmp_path: Path) -> None:
    write(tmp_path, "tables/stages.csv", "ours,theirs\nopen,1-new\n")
    inline = "\n" + "".join(f"      {line}\n" for line in RULES.splitlines())
    block = FLOWS + f"upcasters:\n  e@1:\n    to: 2\n    mapping:{inline}"

    casts = casts_of(settings_of(block, tmp_path), "a")

    assert casts("e", 1, b'{"total": 2, "state": "open"}') == (2, b'{"gross":2.20,"stage":"1-new","rate":0.10}')


def test_the_file_of_a_step_is_relative_to_the_file_that_names_it_and_is_watched(tmp_path: Path) -> None:
    write(tmp_path, "steps/all.yaml", "upcasters: {e@1: {to: 2, mapping: '${STEP}.yaml'}}\n")
    write(tmp_path, "steps/e.yaml", "- {source_field: a, target_field: b}\n")
    main = tmp_path / "outbox.yaml"
    main.write_text(FLOWS + "include: [steps/all.yaml]\n", encoding="utf-8")
    files = FilesRead()

    settings = load(path=main, environ={**URLS, "STEP": "e"}, adapters=ADAPTERS, files=files)

    assert [rule.target_field for rule in settings.upcasters["e@1"].mapping] == ["b"]
    assert files.as_found() == files.as_is()
    write(tmp_path, "steps/e.yaml", "- {source_field: a, target_field: other}\n")
    assert files.as_found() != files.as_is()


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        (None, "outbox.yaml:3:26 upcasters.'e@1'.mapping: cannot read the file e.yaml: No such file or directory"),
        ("to: 2", "e.yaml:1:1 upcasters.'e@1'.mapping: the file e.yaml is no list of rules: "),
        ("[]", "e.yaml:1:1 upcasters.'e@1'.mapping: must not be empty"),
        (
            "- {target_field: a, default: 1}\n- {target_field: b, defalt: 1}",
            "e.yaml:2:21 upcasters.'e@1'.mapping[1].defalt: unknown key; did you mean 'default'?",
        ),
        (
            "- {target_field: a, default: 1}\n- {target_field: a, default: 2}",
            "e.yaml:2:4 upcasters.'e@1'.mapping[1].target_field: target_field 'a' is set twice",
        ),
        (
            "- source_field: a\n  target_field: a\n  transform: [{table: {file: no.csv, key: k, value: v}}]",
            "e.yaml:3:24 upcasters.'e@1'.mapping[0].transform[0].table.file: cannot read the file no.csv",
        ),
        (
            NESTED,
            "e.yaml:4:63 upcasters.'e@1'.mapping[0].fields[0].transform[1].xref: must not stand here: ",
        ),
    ],
    ids=["missing", "no list", "empty", "unknown key", "filled twice", "table", "xref"],
)
def test_what_is_wrong_with_the_file_of_a_step_is_told_in_its_lines(
    rules: str | None, problem: str, tmp_path: Path
) -> None:
    if rules is not None:
        write(tmp_path, "e.yaml", rules)

    found = problems_of(UP % "e.yaml", tmp_path)

    assert [one.startswith(problem) for one in found] == [True], found


def test_steps_that_would_go_round_in_a_circle_are_told_at_the_step_that_leads_back(tmp_path: Path) -> None:
    write(tmp_path, "e.yaml", "- {target_field: b, default: 1}\n")
    circle = FLOWS + "upcasters:\n  e@1: {to: 2, mapping: e.yaml}\n  e@2: {to: 1, mapping: e.yaml}\n"

    (found,) = problems_of(circle, tmp_path)

    assert found.endswith("e@2 must lead to a version above 2, not to 1")
