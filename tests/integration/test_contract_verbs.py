"""``outbox contract``: in a repository of its own, as producers and consumers call it in their CI."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from outbox.model.errors import ExitCode
from tests.kit.cli import one_flow
from tests.kit.verbs import Verbs

V1 = {"type": "object", "properties": {"total": {"type": "number", "maximum": 10}}}
NARROWER = {"type": "object", "properties": {"total": {"type": "number", "maximum": 5}}}
LINE = "order.confirmed@1 /total: breaks producers: maximum: was 10, is 5"


@pytest.fixture
def outbox(tmp_path: Path) -> Verbs:
    return Verbs(tmp_path)


def write(folder: Path, schema: object, *, version: int = 1) -> Path:
    file = folder / "order.confirmed" / f"{version}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(schema), encoding="utf-8")
    return folder


def git(folder: Path, *arguments: str) -> None:
    name = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    subprocess.run(["git", "-C", str(folder), *name, *arguments], check=True, capture_output=True)  # noqa: S607


def committed(folder: Path) -> Path:
    """Return contracts, in a folder of a repository, whose first commit has them and the tag v1."""
    git(folder, "init", "-q")
    contracts = write(folder / "erp" / "contracts", V1)
    (contracts / "README.md").write_text("Ours.", encoding="utf-8")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Contracts")
    git(folder, "tag", "v1")
    return contracts


async def test_a_breaking_change_since_a_commit_is_one_line_and_ends_with_1(outbox: Verbs, tmp_path: Path) -> None:
    contracts = committed(tmp_path)
    same = await outbox("contract", "check", "--dir", str(contracts), "--against", "v1")
    write(contracts, NARROWER)

    broken = await outbox("contract", "check", "--dir", str(contracts), "--against", "v1")

    assert (same.code, same.out.splitlines()) == (0, ["1 contract(s) of 1 type(s), 0 change(s) since v1"])
    assert broken.code == ExitCode.CHECK_FAILED
    assert broken.out.splitlines()[0] == LINE


async def test_the_same_for_programs_and_between_two_directories(outbox: Verbs, tmp_path: Path) -> None:
    old, new = write(tmp_path / "old", V1), write(write(tmp_path / "new", NARROWER), V1, version=2)

    ended = await outbox("contract", "check", "--dir", str(new), "--against", str(old), "--format", "json")

    assert ended.code == ExitCode.CHECK_FAILED
    said = json.loads(ended.out)
    assert said["is_broken"] is True
    assert said["changes"] == [
        {
            "contract": "order.confirmed@1",
            "path": "/total",
            "rule": "maximum",
            "effect": "breaks producers",
            "text": "was 10, is 5",
        },
        {"contract": "order.confirmed@2", "path": "", "rule": "file", "effect": "compatible", "text": "is new"},
    ]


async def test_what_cannot_be_judged_fails_unless_it_is_allowed(outbox: Verbs, tmp_path: Path) -> None:
    old, new = write(tmp_path / "old", {"not": {"const": 1}}), write(tmp_path / "new", {"not": {"const": 2}})
    arguments = ("contract", "check", "--dir", str(new), "--against", str(old))

    assert (await outbox(*arguments)).code == ExitCode.CHECK_FAILED
    allowed = await outbox(*arguments, "--allow-unknown")

    assert allowed.code == ExitCode.OK
    assert "order.confirmed@1: cannot be judged: not: was" in allowed.out


async def test_contracts_that_were_not_there_before_are_new(outbox: Verbs, tmp_path: Path) -> None:
    committed(tmp_path)
    later = write(tmp_path / "crm" / "contracts", V1)

    ended = await outbox("contract", "check", "--dir", str(later), "--against", "v1")

    assert (ended.code, ended.out.splitlines()[0]) == (ExitCode.OK, "order.confirmed@1: compatible: file: is new")


@pytest.mark.parametrize("revision", ["no-such-branch", "--output=x", "v1:erp"])
async def test_a_revision_that_nobody_knows_is_told_with_the_next_step(
    outbox: Verbs, tmp_path: Path, revision: str
) -> None:
    contracts = committed(tmp_path)

    refusal = (await outbox("contract", "check", "--dir", str(contracts), f"--against={revision}")).refusal(
        ExitCode.MISCONFIGURED
    )

    assert f"--against {revision}: there is no such directory, and git knows no such commit" in refusal


async def test_a_broken_file_is_told_whichever_revision_it_is_of(outbox: Verbs, tmp_path: Path) -> None:
    contracts = committed(tmp_path)
    write(contracts, {"requierd": ["a"]})
    now = (await outbox("contract", "check", "--dir", str(contracts))).refusal(ExitCode.MISCONFIGURED)
    git(tmp_path, "commit", "-q", "-a", "-m", "Break it")
    write(contracts, V1)

    then = (await outbox("contract", "check", "--dir", str(contracts), "--against", "HEAD")).refusal(
        ExitCode.MISCONFIGURED
    )

    assert "order.confirmed/1.json:1:2 /requierd: is no keyword of JSON Schema 2020-12; did you mean 'required'?" in now
    assert f"HEAD:{contracts}/order.confirmed/1.json:1:2 /requierd" in then


@pytest.mark.parametrize(
    ("verb", "example"),
    [
        (("contract",), "outbox contract check --dir contracts --against origin/main"),
        (("contract", "check"), "outbox contract check --dir new --against old --format json"),
        (("contract", "test"), "outbox contract test --samples samples --every"),
        (("asyncapi",), "outbox asyncapi > asyncapi.yaml"),
    ],
)
async def test_the_help_has_examples(outbox: Verbs, verb: tuple[str, ...], example: str) -> None:
    said = (await outbox(*verb, "--help")).out

    assert example in " ".join(said.split()).partition("Examples:")[2]


async def test_the_asyncapi_document_is_the_same_in_yaml_and_json(outbox: Verbs, tmp_path: Path) -> None:
    write(tmp_path / "contracts", V1)
    outbox.settings({"contracts": {"directory": "contracts"}} | one_flow())

    as_yaml, as_json = await outbox("asyncapi"), await outbox("asyncapi", "--format", "json", "--title", "Orders")

    document = as_json.json()
    assert document["info"] == {"title": "Orders", "version": "1.0.0"}
    assert document["components"]["messages"]["order.confirmed.v1"]["x-version"] == 1
    assert yaml.safe_load(as_yaml.out) == document | {"info": {"title": "Outbox events", "version": "1.0.0"}}
    assert "mq-password" not in as_yaml.out


async def test_the_settings_say_where_the_contracts_are(outbox: Verbs, tmp_path: Path) -> None:
    write(tmp_path / "contracts", V1)
    outbox.settings({"contracts": {"directory": "contracts"}})
    found = await outbox("contract", "check")
    outbox.settings({})

    missing = (await outbox("contract", "check")).refusal(ExitCode.USAGE)

    assert found.out.splitlines() == ["1 contract(s) of 1 type(s)"]
    assert "the settings name no contracts.directory" in missing
