"""A directory of contracts: every problem of every file at once, with its line, and nothing fetched from anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from adapters.registry import ADAPTERS
from outbox.config.contracts import read_contract_files
from outbox.config.load import load
from outbox.config.problems import ConfigProblems
from outbox.flow.contract import ContractKey, ContractSet
from outbox.flow.contract_set import compile_contracts
from outbox.wiring_contracts import contract_gate, contracts_of

FILE = "order.confirmed/1.json"
ENVIRONMENT = {"OUTBOX_PG_URL": "postgresql://relay@localhost/erp", "OUTBOX_AMQP_URL": "amqp://localhost/"}

NO_TYPE = """"strin" is not valid under any of the schemas listed in the 'anyOf' keyword"""
NO_NAME = (
    "is no name of a contract: a contract is TYPE/VERSION.json, for example order.confirmed/1.json; what contracts "
    "share is in a folder whose name begins with _, for example _shared/money.json"
)


def written(directory: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, encoding="utf-8")
    return directory


def compiled(directory: Path, files: Mapping[str, str]) -> ContractSet:
    written(directory, files)
    return compile_contracts("contracts", read_contract_files(directory))


def problems(directory: Path, files: Mapping[str, str]) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        compiled(directory, files)
    return [str(problem) for problem in caught.value.problems]


def test_every_problem_of_every_file_is_told_with_its_line(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        {
            FILE: '{\n  "type": "object",\n  "requierd": ["a"],\n  "properties": {"a": {"type": "strin"}}\n}',
            "order.confirmed/2.json": '{"type": "object",\n "title": "x",}',
            "order.confirmed/03.json": "{}",
            "stock/1.json": '{"minLength": -1, "minLength": 2}',
            "stock/2.json": "[]",
        },
    )

    assert found == [
        f"contracts/order.confirmed/03.json:1:1: {NO_NAME}",
        f"contracts/{FILE}:3:3 /requierd: is no keyword of JSON Schema 2020-12; did you mean 'required'?",
        f"contracts/{FILE}:4:24 /properties/a/type: {NO_TYPE}",
        "contracts/order.confirmed/2.json:2:15: is not JSON: Expecting property name enclosed in double quotes",
        "contracts/stock/1.json:1:1: is not usable JSON: the key 'minLength' is there twice in one object",
        "contracts/stock/2.json: must be a JSON object",
    ]


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"$ref": "https://example.com/order.json"}, "/$ref: refers to another place: only files of the directory are"),
        ({"items": {"$ref": "file:///etc/passwd"}}, "/items/$ref: refers to another place"),
        ({"$ref": "//example.com/order.json"}, "refers to another place"),
        ({"$ref": "../../secret.json"}, "refers to a file outside of the directory"),
        ({"$ref": "/etc/passwd"}, "refers to a file outside of the directory"),
        ({"$ref": "2.json"}, "refers to order.confirmed/2.json, which is not there"),
        ({"$ref": "#/$defs/a"}, "refers to #/$defs/a of order.confirmed/1.json, which is not there"),
        ({"$ref": "#money"}, "refers to #money of order.confirmed/1.json, which is not there"),
        ({"$id": "https://example.com/order.json"}, "/$id: is not allowed: files refer to each other by their path"),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#"},
            "/$schema: must be https://json-schema.org/draft/2020",
        ),
        ({"$ref": "#"}, "leads back to itself without going down into the value"),
        ({"x-deprecated-on": "soon"}, "/x-deprecated-on: must be a date such as 2027-03-31, at the top of a contract"),
        ({"x-deprecated-on": 20270331}, "/x-deprecated-on: must be a date such as 2027-03-31"),
        ({"items": {"x-deprecated-on": "2027-03-31"}}, "/items/x-deprecated-on: must be a date such as"),
        ({"definitions": {}}, "/definitions: is no keyword of JSON Schema 2020-12"),
        ({"properties": {"a": {"format": "dat"}}}, "Unknown format: 'dat'"),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, "is no regular expression that can be matched in linear time"),
        ({"properties": {"a": {"pattern": r"(a)\1"}}}, "is no regular expression that can be matched in linear time"),
        ({"properties": {"a": {"pattern": "("}}}, "is no regular expression"),
        ({"patternProperties": {"(?!x)": {}}}, "is no regular expression"),
        ({"properties": {"a": 1}}, '/properties/a: 1 is not of types "boolean", "object"'),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_schema_that_cannot_be_relied_on_is_refused(tmp_path: Path, schema: dict[str, object], problem: str) -> None:
    (found,) = problems(tmp_path, {FILE: json.dumps(schema)})

    assert problem in found
    assert found.startswith(f"contracts/{FILE}:1:")


def test_nesting_and_size_are_bounded(tmp_path: Path) -> None:
    deep: dict[str, object] = {}
    for _ in range(70):
        deep = {"not": deep}

    found = problems(tmp_path, {FILE: json.dumps(deep), "a/1.json": "[" * 50_000 + "]" * 50_000})
    assert [text.partition(": ")[2] for text in found] == ["is nested deeper than 64 levels"] * 2
    (found,) = problems(tmp_path, {FILE: json.dumps({"title": "x" * 2**20}), "a/1.json": "{}"})
    assert "is larger than 1024KiB" in found


def test_an_empty_or_missing_directory_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "README.md").touch()

    with pytest.raises(ConfigProblems, match=r"has no contract, for example order\.confirmed/1\.json"):
        read_contract_files(tmp_path)
    with pytest.raises(ConfigProblems, match="cannot be read: No such file or directory"):
        read_contract_files(tmp_path / "contract")


def test_files_refer_to_each_other_and_to_what_a_mount_links_to(tmp_path: Path) -> None:
    real = written(
        tmp_path / "..data",
        {
            "order.confirmed/1.json": '{"properties": {"total": {"$ref": "../_shared/money.json#/$defs/amount"}}}',
            "_shared/money.json": '{"$defs": {"amount": {"type": "string", "x-unit": "EUR"}}}',
            "order.confirmed/README.md": "What it is for.",
        },
    )
    for name in ("order.confirmed", "_shared"):
        (tmp_path / name).symlink_to(real / name)

    contracts = compiled(tmp_path, {})

    assert list(contracts.contracts) == [ContractKey("order.confirmed", 1)]
    assert contracts.versions("order.confirmed") == [1]


def test_a_circle_through_other_files_is_told_where_each_part_of_it_is(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        {FILE: '{"anyOf": [{"$ref": "../_shared/a.json"}]}', "_shared/a.json": '{"$ref": "../order.confirmed/1.json"}'},
    )

    assert [text.partition(":")[0] for text in found] == ["contracts/_shared/a.json"] + [f"contracts/{FILE}"] * 2
    assert all("leads back to itself" in text for text in found)
    assert len(problems(tmp_path, {FILE: '{"allOf": [{"not": {"$ref": "#"}}]}', "_shared/a.json": "{}"})) == 3


def test_a_schema_may_contain_itself_further_down(tmp_path: Path) -> None:
    tree = '{"properties": {"below": {"items": {"$ref": "#"}}}, "allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {}}}'

    assert compiled(tmp_path, {FILE: tree}).versions("order.confirmed") == [1]


@pytest.mark.parametrize("place", ["_shared/a.json", "b/1.json"])
def test_a_reference_to_a_broken_file_is_not_a_second_problem(tmp_path: Path, place: str) -> None:
    (found,) = problems(tmp_path, {FILE: json.dumps({"$ref": f"../{place}"}), place: "{"})

    assert f"contracts/{place}:1:2: is not JSON" in found


def settings_file(folder: Path, section: Mapping[str, object]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "outbox.yaml").write_text(json.dumps({"contracts": section}), encoding="utf-8")
    return folder / "outbox.yaml"


def test_the_directory_is_found_from_the_settings_file(tmp_path: Path) -> None:
    file = settings_file(tmp_path / "etc", {"directory": "contracts", "without": "reject"})
    written(tmp_path / "etc" / "contracts", {FILE: '{"type": "object"}'})

    settings = load(path=file, environ=ENVIRONMENT, adapters={name: kind.settings for name, kind in ADAPTERS.items()})

    assert list(contracts_of(settings).contracts) == [ContractKey("order.confirmed", 1)]
    gate = contract_gate(settings)
    assert gate is not None
    assert (gate.without, gate.claimed) == ("reject", "reject")


def test_without_a_directory_nothing_is_asked_of_any_event(tmp_path: Path) -> None:
    settings = load(path=settings_file(tmp_path, {}), environ=ENVIRONMENT, adapters={})

    assert contract_gate(settings) is None
