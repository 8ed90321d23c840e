"""``outbox xref``: links by hand and by files, with a dry run, conflicts and an audit."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from outbox.model.errors import ExitCode
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.verbs import Verbs

ABOUT = ("--entity", "customer", "--system", "crm")


@pytest.fixture
def verbs(cli: Cli, database: Database) -> Verbs:
    return Verbs(cli.folder, database.url)


def table(folder: Path, *rows: tuple[str, str], name: str = "links.csv") -> str:
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("canonical_key", "external_id"), *rows])
    return str(path)


async def links(verbs: Verbs) -> dict[str, str]:
    rows = csv.DictReader(io.StringIO((await verbs("xref", "list", "--format", "csv")).out))
    return {row["canonical_key"]: row["external_id"] for row in rows}


async def test_a_link_is_set_shown_replaced_and_removed_with_its_story(verbs: Verbs) -> None:
    why = ("--why", "by hand", "--as", "ann")
    assert (await verbs("xref", "set", "customer", "crm", "C-1", "11", *why)).code == ExitCode.OK
    assert "linked so before" in (await verbs("xref", "set", "customer", "crm", "C-1", "11", *why)).out
    refused = await verbs("xref", "set", "customer", "crm", "C-1", "12", *why)
    assert "the key has the id '11'" in refused.refusal(ExitCode.MISCONFIGURED)
    assert "--replace" in refused.err
    replaced = await verbs("xref", "set", "customer", "crm", "C-1", "12", *why, "--replace", "--json")
    assert replaced.json()["verdict"] == "replaced"
    assert await links(verbs) == {"C-1": "12"}
    (conflict,) = (await verbs("xref", "conflicts", "--json")).json()
    assert (conflict["external_id"], conflict["former_id"], conflict["who"]) == ("12", "11", "ann")
    assert "C-1" in (await verbs("xref", "list", "--id", "12")).out
    assert (await verbs("xref", "remove", "customer", "crm", "C-1", *why)).code == ExitCode.OK
    assert (await verbs("xref", "remove", "customer", "crm", "C-1", *why)).code == ExitCode.CHECK_FAILED
    history = (await verbs("xref", "history", "customer", "crm", "C-1", "--json")).json()
    assert [one["action"] for one in history] == ["unlink", "replace", "conflict", "link"]
    assert {one["why"] for one in history} == {"by hand"}


async def test_a_file_is_judged_first_and_a_dry_run_changes_nothing(verbs: Verbs) -> None:
    await verbs("xref", "set", "customer", "crm", "C-1", "11", "--why", "known")
    await verbs("xref", "set", "customer", "crm", "C-8", "88", "--why", "known")
    await verbs("xref", "set", "customer", "crm", "C-9", "99", "--why", "known")
    file = table(
        verbs.folder,
        ("C-1", "11"),  # known
        ("C-2", "22"),  # linked
        ("C-2", "22"),  # repeated
        ("C-8", "89"),  # key taken
        ("C-3", "99"),  # id taken
        ("C-2", "23"),  # key twice
        ("C-4", "22"),  # id twice
    )
    report = verbs.folder / "conflicts.csv"
    dry = await verbs("xref", "import", file, *ABOUT, "--dry-run", "--report", str(report), "--json")
    assert dry.code == ExitCode.CHECK_FAILED
    wanted = {"known": 1, "linked": 1, "repeated": 1, "key_taken": 1, "id_taken": 1, "key_twice": 1, "id_twice": 1}
    assert '"is_done": false' in dry.out
    assert all(f'"{verdict}": {count}' in dry.out for verdict, count in wanted.items())
    told = {row["line"]: row["contradicts"] for row in csv.DictReader(report.read_text(encoding="utf-8").splitlines())}
    assert told == {
        "5": "the key has the id '88'",
        "6": "the id belongs to the key 'C-9'",
        "7": "line 3 gives the key another id",
        "8": "line 3 gives the id to another key",
    }
    assert await links(verbs) == {"C-1": "11", "C-8": "88", "C-9": "99"}

    unasked = await verbs("xref", "import", file, *ABOUT)
    assert unasked.code == ExitCode.USAGE
    assert await links(verbs) == {"C-1": "11", "C-8": "88", "C-9": "99"}

    done = await verbs("xref", "import", file, *ABOUT, "--yes")
    assert done.code == ExitCode.CHECK_FAILED
    assert await links(verbs) == {"C-1": "11", "C-2": "22", "C-8": "88", "C-9": "99"}


async def test_replacing_takes_a_reason_and_a_file_that_agrees_with_itself(verbs: Verbs) -> None:
    await verbs("xref", "set", "customer", "crm", "C-1", "11", "--why", "known")
    file = table(verbs.folder, ("C-1", "12"), ("C-2", "22"))
    assert "--why is missing" in (await verbs("xref", "import", file, *ABOUT, "--replace")).refusal(ExitCode.USAGE)
    options = (*ABOUT, "--replace", "--why", "the CRM was merged", "--yes")
    torn = table(verbs.folder, ("C-1", "12"), ("C-1", "13"), name="torn.csv")
    assert "contradicts itself" in (await verbs("xref", "import", torn, *options)).refusal(ExitCode.MISCONFIGURED)
    assert await links(verbs) == {"C-1": "11"}
    assert (await verbs("xref", "import", file, *options)).code == ExitCode.OK
    assert await links(verbs) == {"C-1": "12", "C-2": "22"}


async def test_an_import_that_was_cut_off_is_started_again(verbs: Verbs) -> None:
    rows = [(f"C-{n}", str(n)) for n in range(2500)]
    await verbs("xref", "import", table(verbs.folder, *rows[:1000]), *ABOUT, "--yes")
    whole = await verbs("xref", "import", table(verbs.folder, *rows), *ABOUT, "--yes", "--json")
    assert whole.json()["links"] == {"known": 1000, "linked": 1500}
    assert await links(verbs) == dict(rows)
    listed = await verbs("xref", "list", "--most", "10")
    assert "there are more than 10" in listed.out


async def test_lines_that_are_no_links_end_an_import_before_it_has_changed_anything(verbs: Verbs) -> None:
    file = table(verbs.folder, ("C-1", "11"), ("", "12"), ("C-3", ""))
    ended = await verbs("xref", "import", file, *ABOUT, "--yes")
    told = ended.refusal(ExitCode.MISCONFIGURED)
    assert "2 line(s) that are no links: line 3 its key is empty line 4 its id is empty" in told
    assert await links(verbs) == {}
    assert "No such file" in (await verbs("xref", "import", "nowhere.csv", *ABOUT)).refusal(ExitCode.MISCONFIGURED)


async def test_names_that_are_no_words_are_refused(verbs: Verbs) -> None:
    ended = await verbs("xref", "set", "Customer", "crm", "C-1", "1", "--why", "x")
    assert "the entity must be small letters" in ended.refusal(ExitCode.USAGE)
    ended = await verbs("xref", "set", "customer", "crm", " C-1", "1", "--why", "x")
    assert "KEY has spaces before or behind it" in ended.refusal(ExitCode.USAGE)
