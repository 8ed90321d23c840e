"""Mappings in the settings: short forms, files of their own, value tables, and problems with their places."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from adapters.json_text import encode
from outbox.config.files import FilesRead
from outbox.config.load import load
from outbox.config.mapping import MappingField
from outbox.config.show import effective_yaml
from outbox.flow.mapping import Mapping
from outbox.flow.mapping_rules import rules_of
from tests.unit.config_cases import ADAPTERS, URLS, problems_of, settings_of

HEAD = """\
connections: {crm: {base_url: "https://crm.example.com"}}
flows:
  deals:
    description: Orders become deals
    events: [order.confirmed]
    adapter: {use: rest, connection: crm, path: /deals}
    mapping:"""
TABLE_RULE = "      - {source_field: s, target_field: t, transform: {table: {file: c.csv, key: iso2, value: iso3}}}"
WHERE = "flows.deals.mapping"


def _problems(rules: str, directory: Path) -> list[str]:
    return problems_of(f"{HEAD}\n{rules}", directory)


def _applied(text: str, directory: Path, payload: bytes) -> dict[str, object]:
    flow = settings_of(text, directory).flows["deals"]
    return Mapping.compile(rules_of(flow.mapping)).apply(payload)


@pytest.mark.parametrize(
    "transform", ["uppercase", "[uppercase]", "{uppercase: true}", "[{uppercase: true}]", "[trim, uppercase]"]
)
def test_a_transform_can_be_a_word_a_mapping_or_a_chain(transform: str, tmp_path: Path) -> None:
    text = f"{HEAD}\n      - {{source_field: order_ref, target_field: tranId, transform: {transform}}}\n"

    assert _applied(text, tmp_path, b'{"order_ref": "so-1"}') == {"tranId": "SO-1"}


def test_an_editor_is_told_of_every_form_that_is_taken() -> None:
    schema = TypeAdapter(tuple[MappingField, ...]).json_schema()

    forms = schema["$defs"]["MappingField"]["properties"]["transform"]["anyOf"]
    (words,) = [form["enum"] for form in forms if "enum" in form]
    assert {"uppercase", "number", "date", "sum"} <= set(words)
    assert "decimal" not in words
    assert {form.get("type") for form in forms} == {"string", "array", None}
    assert {"type": "integer"} in schema["$defs"]["Transform"]["properties"]["decimal"]["anyOf"]


def test_what_is_shown_of_a_mapping_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("iso2,iso3\nDE,DEU\n", encoding="utf-8")
    text = f"""{HEAD}
      - source_field: a
        target_field: a
        transform: [trim, {{decimal: 2}}, {{table: {{file: c.csv, key: iso2, value: iso3}}}}]
      - {{source_field: b, target_field: b, transform: {{multiply: "1.19"}}, when: "a == 'x'"}}
      - source_field: c
        target_field: c
        fields: [{{source_field: d, target_field: d, transform: {{date: {{to: "%d.%m.%Y"}}}}}}]
"""
    settings = settings_of(text, tmp_path)

    assert settings_of(effective_yaml(settings), tmp_path).flows["deals"].mapping == settings.flows["deals"].mapping


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (
            "transform: upercase",
            "outbox.yaml:8:44 flows.deals.mapping[0].transform[0].upercase: unknown key; did you mean 'uppercase'?",
        ),
        (
            "transform: [trim, {decimel: 2}]",
            "outbox.yaml:8:63 flows.deals.mapping[0].transform[1].decimel: unknown key; did you mean 'decimal'?",
        ),
        (
            "transform: {decimal: {places: 2, roundin: up}}",
            ".transform[0].decimal.roundin: unknown key; did you mean 'rounding'?",
        ),
        (
            "transform: {decimal: {places: 2, rounding: half}}",
            "must be one of half_even, half_up, half_down, up, down, ceiling, floor; did you mean 'half_up'?",
        ),
        ("transform: {decimal: 2.5}", ".decimal.places=2.5: must be a whole number between 0 and 50"),
        ("transform: {trim: false}", "must be true; leave the transform out where it is not wanted"),
        (
            "transform: {trim: true, uppercase: true}",
            ".transform[0]: must have one transform, with its settings; a chain is a list of them",
        ),
        ("transform: {multiply: true}", ".multiply=true: must be a number, for example 1.19"),
        ("transform: {multiply: 'x'}", ".multiply=x: must be a number, for example 1.19"),
        ("transform: {divide: '0'}", "must not be 0"),
        ("transform: {date: {zone: Europe/Berlln}}", "must be a time zone of the IANA database"),
        ("transform: {date: {to: '%B'}}", "%B means something else in every language"),
        ("transform: {unit: {from: kg, to: cm}}", "must be a unit of mass like kg, not of length"),
        ("transform: {unit: {from: kg, to: lb}}", "required, because kg to lb has no exact decimal"),
        ("transform: {unit: {from: kgs, to: lb}}", "did you mean 'kg'?"),
        ("transform: {table: {missing: keep}}", "give either values or file"),
        ("transform: {xref: {entity: c, system: s, missing: later}}", "must be one of dead, wait"),
        (
            "transform: {xref: {entity: c, system: s, within: 1h}}",
            ".within=1h: must not be set unless missing says to wait",
        ),
        ("transform: {xref: {entity: c, system: s, missing: wait, within: 40d}}", ".within=40d: must be a duration"),
        ("transform: {xref: {entity: c, system: s, to: both}}", ".to=both: must be one of id, key"),
        ("transform: {number: {decimal: ',', thousands: ','}}", "must not be the same as decimal"),
        ("template: 'x{y'", ".template='x{y': has a brace that does not fit: expected '}' before end of string"),
        ("template: 'x{y}'", "must not be set beside source_field"),
        ("position: 1", "must not be set beside source_field"),
        ("when: 'a ='", ".when='a =': has '=' at character 3"),
        ("fields: [{source_field: a, target_field: b.0}]", ".fields[0].target_field=b.0: has a number as a part"),
        (
            "fields: [{source_field: a, target_field: b}, {source_field: a, target_field: b.c}]",
            "mapping[0].fields[1].target_field: target_field 'b' is a value and the parent of 'b.c'",
        ),
        (
            "fields: [{source_field: a, target_field: b}, {source_field: a, target_field: b}]",
            "mapping[0].fields[1].target_field: target_field 'b' is set twice",
        ),
    ],
)
def test_what_is_wrong_with_a_rule_is_told_with_its_place(rule: str, problem: str, tmp_path: Path) -> None:
    found = _problems(f"      - {{source_field: s, target_field: t, {rule}}}", tmp_path)

    assert problem in "\n".join(found)
    assert all(one.startswith("outbox.yaml:8:") for one in found)


def test_a_path_is_refused_with_line_column_and_what_to_write(tmp_path: Path) -> None:
    found = _problems("      - {source_field: order-id, target_field: lines.0}", tmp_path)

    first, second = found
    assert first == (
        "outbox.yaml:8:10 flows.deals.mapping[0].source_field=order-id: has '-' at character 6, which JMESPath cannot "
        "take there; a name with other characters than letters, digits and _ is written in double quotes, for example "
        '"order-id"'
    )
    assert second == (
        "outbox.yaml:8:34 flows.deals.mapping[0].target_field=lines.0: has a number as a part, and targets cannot be "
        "lists by place; give the list as a rule with fields"
    )


def test_rules_that_contradict_each_other_are_told_at_the_second(tmp_path: Path) -> None:
    found = _problems(
        "      - {source_field: a, target_field: x}\n"
        "      - {source_field: b, target_field: x.y}\n"
        "      - {source_field: 'c[].d', target_field: 'i[].d'}\n"
        "      - {source_field: 'e[].d', target_field: 'i[].e'}\n",
        tmp_path,
    )

    first, second = found
    assert first == f"outbox.yaml:9:27 {WHERE}[1].target_field: target_field 'x' is a value and the parent of 'x.y'"
    assert second == (
        f"outbox.yaml:11:33 {WHERE}[3].target_field: target_field 'i[].e' takes its entries from 'e', another rule "
        "for it from 'c'"
    )


def test_a_mapping_can_be_a_file_beside_the_settings(tmp_path: Path) -> None:
    folder = tmp_path / "mappings"
    folder.mkdir()
    (folder / "deal.yaml").write_text(
        "- {source_field: ref, target_field: id, transform: uppercase}\n"
        "- source_field: country\n  target_field: land\n  transform: {table: {file: land.csv, key: a, value: b}}\n",
        encoding="utf-8",
    )
    (folder / "land.csv").write_text("\ufeffa,b\r\nDE,276\r\n", encoding="utf-8")
    text = f"{HEAD} mappings/deal.yaml\n"

    assert _applied(text, tmp_path, b'{"ref": "x", "country": "DE"}') == {"id": "X", "land": "276"}
    (tmp_path / "outbox.yaml").write_text(text, encoding="utf-8")
    files = FilesRead()
    load(path=tmp_path / "outbox.yaml", environ=URLS, adapters=ADAPTERS, files=files)
    for name in ("deal.yaml", "land.csv"):
        assert files.as_is() == files.as_found()
        (folder / name).write_text("changed", encoding="utf-8")
        assert files.as_is() != files.as_found()
        files.note(folder / name)


def test_fractions_of_the_settings_are_taken_as_they_are_written(tmp_path: Path) -> None:
    rules = """
- {target_field: rate, default: 0.10}
- {target_field: long, default: [0.12345678901234567890123]}
- {source_field: n, target_field: product, transform: {multiply: 1.10}}
- {source_field: c, target_field: tax, transform: {table: {values: {DE: 0.190}}}}
"""
    (tmp_path / "deal.yaml").write_text(rules, encoding="utf-8")
    inline = f"{HEAD}{rules}".replace("\n- ", "\n      - ")
    for text in (f"{HEAD} deal.yaml\n", inline):
        shown = effective_yaml(settings_of(text, tmp_path))
        for one in (text, shown):
            made = encode(_applied(one, tmp_path, b'{"n": 1, "c": "DE"}'))
            assert made == b'{"rate":0.10,"long":[0.12345678901234567890123],"product":1.10,"tax":0.190}'


def test_a_mapping_can_be_a_file_of_json(tmp_path: Path) -> None:
    (tmp_path / "deal.json").write_text(
        '[{"source_field": "order_ref", "target_field": "tranId", "transform": "uppercase"}]', encoding="utf-8"
    )

    assert _applied(f"{HEAD} deal.json\n", tmp_path, b'{"order_ref": "so-1"}') == {"tranId": "SO-1"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("- {source_field: a}\n", f"deal.yaml:1:3 {WHERE}[0].target_field: required"),
        ("- {source_fild: a, target_field: b}\n", f"deal.yaml:1:4 {WHERE}[0].source_fild: unknown key; did you mean"),
        ("a: b\n", f"deal.yaml:1:1 {WHERE}: the file deal.yaml is no list of rules: the top level must be a list"),
        ("- [\n", f"deal.yaml:2:1 {WHERE}: the file deal.yaml is no list of rules: not valid YAML"),
        ("", f"outbox.yaml:7:5 {WHERE}: the file deal.yaml is no list of rules: the top level must be a list"),
        ("- {source_field: a, target_field: no}\n", f"deal.yaml:1:35 {WHERE}[0].target_field=no: unquoted yes, no"),
        (None, f"outbox.yaml:7:5 {WHERE}: cannot read the file deal.yaml: No such file or directory"),
        ("\udcff", f"outbox.yaml:7:5 {WHERE}: the file deal.yaml is not UTF-8 text"),
    ],
)
def test_a_problem_of_a_mapping_file_is_told_with_its_place(content: str | None, problem: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "deal.yaml").write_bytes(content.encode("utf-8", "surrogateescape"))

    found = problems_of(f"{HEAD} deal.yaml\n", tmp_path)

    assert any(one.startswith(problem) for one in found), found


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "c.csv: is empty; its first line must name the columns"),
        (b"iso2,country\nDE,x\n", "c.csv:1: has no column iso3; it has iso2, country"),
        (b"iso2;iso3\nDE;x\n", "c.csv:1: has no column iso2; its columns seem to be separated by ';': set delimiter"),
        (b"iso2,iso3,iso3\nDE,x,y\n", "c.csv:1: has the column iso3 twice"),
        (b"iso2,iso3\nDE,DEU\nAT\n", "c.csv:3: has 1 columns, the header has 2"),
        (b"iso2,iso3\nDE,DEU\n\nDE,D\n", "c.csv:4: the key DE is given twice, first in line 2"),
        (b"iso2,iso3\n,DEU\n", "c.csv:2: has no key"),
        (b'iso2,iso3\nDE,"DEU\n', "c.csv:2: is no CSV: unexpected end of data"),
        (b"iso2,iso3\nDE,D\x00U\n", "c.csv:2: has a NUL character"),
        ("iso2,iso3\nÄ,D\n".encode("latin-1"), "the file c.csv is not UTF-8 text"),
        ("iso2,iso3\nDE,D\n".encode("utf-16"), "the file c.csv is not UTF-8 text"),
        (None, "cannot read the file c.csv: No such file or directory"),
    ],
)
def test_a_problem_of_a_table_is_told_with_file_and_line(content: bytes | None, problem: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "c.csv").write_bytes(content)

    found = _problems(TABLE_RULE, tmp_path)

    assert any(one.startswith("outbox.yaml:8:") and one.endswith(problem) for one in found), found


def test_every_bad_line_of_a_table_is_told_up_to_ten(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("iso2,iso3\n" + "x\n" * 15, encoding="utf-8")

    found = _problems(TABLE_RULE, tmp_path)

    assert len(found) == 11
    assert any(one.endswith("c.csv: and 5 more") for one in found)
