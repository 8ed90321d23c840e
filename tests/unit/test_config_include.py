"""Settings in several files: one whole, every problem with the file that it stands in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from outbox.config import include
from outbox.config.files import FilesRead
from outbox.config.load import load
from outbox.config.problems import ConfigProblems
from outbox.config.settings import Settings
from tests.unit.config_cases import ADAPTERS, URLS, problems_of, settings_of

CONNECTION = "connections: {crm: {base_url: https://crm.example.com}}"
MAIN = f"include: [flows/*.yaml]\n{CONNECTION}\n"


def flow(name: str, **also: object) -> str:
    adapter = "{use: rest, connection: crm, path: /deals}"
    more = "".join(f", {key}: {value}" for key, value in also.items())
    return f"flows:\n  {name}: {{description: d, events: [e], adapter: {adapter}{more}}}\n"


def put(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def loaded(folder: Path, main: str, files: Mapping[str, str]) -> Settings:
    put(folder, files)
    return settings_of(main, folder)


def problems(folder: Path, main: str, files: Mapping[str, str]) -> list[str]:
    put(folder, files)
    return problems_of(main, folder)


def test_a_file_for_each_flow_is_the_same_as_one_file(tmp_path: Path) -> None:
    files = {"flows/a.yaml": flow("a"), "flows/b.yaml": flow("b", rate_limit="20/s"), "flows/notes.txt": "no yaml: ["}
    one = f"{CONNECTION}\n{flow('a')}{flow('b', rate_limit='20/s').removeprefix('flows:')}"
    assert loaded(tmp_path, MAIN, files) == settings_of(one, tmp_path)


def test_included_files_are_relative_to_the_file_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    files = {"flows/a.yaml": flow("a"), "more.yaml": flow("b")}
    settings = loaded(tmp_path, f"include: [flows/a.yaml, '{tmp_path}/more.yaml']\n{CONNECTION}", files)
    assert sorted(settings.flows) == ["a", "b"]


def test_a_section_may_stand_in_several_files_and_a_setting_in_one(tmp_path: Path) -> None:
    main = "include: [b.yaml]\nrelay: {source: /a}\nflows:\ndrain: 3s"
    settings = loaded(tmp_path, main, {"b.yaml": "relay: {lanes: 2}\nconnections:\nhttp: {port: 1}\ndrain:"})
    assert (settings.relay.source, settings.relay.lanes, settings.http.port, settings.drain) == ("/a", 2, 1, 3)

    twice = problems(tmp_path, main, {"b.yaml": "relay: {source: /b}\ndrain: 2s"})
    assert twice == [
        "b.yaml:1:9 relay.source: is given twice, first in outbox.yaml:2:9",
        "b.yaml:2:1 drain: is given twice, first in outbox.yaml:4:1",
    ]


def test_a_name_given_in_two_files_is_told_with_both_places(tmp_path: Path) -> None:
    main = f"include: [flows/*.yaml, crm.yaml]\n{CONNECTION}"
    files = {"flows/a.yaml": flow("a"), "flows/b.yaml": f"\n{flow('a')}", "crm.yaml": f"# once more\n{CONNECTION}"}
    assert problems(tmp_path, main, files) == [
        "crm.yaml:2:15 connections.crm: is given twice, first in outbox.yaml:2:15",
        "flows/b.yaml:3:3 flows.a: is given twice, first in flows/a.yaml:2:3",
    ]


def test_every_problem_has_the_file_that_it_stands_in(tmp_path: Path) -> None:
    files = {
        "flows/a.yaml": flow("a", on_dead="sikp"),
        "flows/b.yaml": f"flows:\n  b: {{descripion: d}}\n{CONNECTION.replace('crm:', 'CRM:', 1)}",
        "flows/c.yaml": 'flows: 3\nhttp: {port: "${NOPE}"}\ndrain: on',
    }
    assert problems(tmp_path, f"{MAIN}htpp: 1\n", files) == [
        "flows/a.yaml:2:89 flows.a.on_dead=sikp: must be one of block, skip; did you mean 'skip'?",
        "flows/b.yaml:2:3 flows.b.adapter: required; must be a mapping of keys to values",
        "flows/b.yaml:2:3 flows.b.description: required; must be text",
        "flows/b.yaml:2:3 flows.b.events: required; must be a list",
        "flows/b.yaml:2:7 flows.b.descripion: unknown key; did you mean 'description'?",
        (
            "flows/b.yaml:3:15 connections.CRM: must be at most 63 small letters, digits and hyphens, a letter first, "
            "for example orders-to-crm"
        ),
        "flows/c.yaml:1:1 flows: must be a mapping of keys to values",
        "flows/c.yaml:2:8 http.port: the environment variable NOPE is not set",
        (
            "flows/c.yaml:3:8 drain=on: unquoted yes, no, on and off mean true or false to some readers of YAML "
            "and text to others; write true or false, or put the word in quotes"
        ),
        "outbox.yaml:3:1 htpp: unknown key; did you mean 'http'?",
    ]


BAD = {
    "include: flows/*.yaml": "outbox.yaml:1:1 include: must be a list of files, for example [flows/*.yaml]",
    "include: [1]": "outbox.yaml:1:11 include[0]: must be the name of a file or a pattern, for example [flows/*.yaml]",
    "include: ['']": "outbox.yaml:1:11 include[0]: must be the name of a file or a pattern, for example [flows/*.yaml]",
    "include: ['flows/**/*.yaml']": (
        "outbox.yaml:1:11 include[0]: ** is not known here; name each folder with a pattern of its own"
    ),
    "include: [none/*.yaml]": "outbox.yaml:1:11 include[0]: the pattern 'none/*.yaml' matches no file in FOLDER",
    "include: [a.yaml, none.yaml]": (
        "outbox.yaml:1:19 include[1]: cannot read the file none.yaml: No such file or directory"
    ),
    "include: [loop.yaml]": (
        "outbox.yaml:1:11 include[0]: cannot read the file loop.yaml: Too many levels of symbolic links"
    ),
    "include: [folder]": (
        "outbox.yaml:1:11 include[0]: cannot read the file folder: Is a directory; "
        "to include what is in a folder, write its name and /*.yaml"
    ),
    "include: [pipe]": (
        "outbox.yaml:1:11 include[0]: cannot read the file pipe: it is no regular file, and would have to be read again"
    ),
    "include: [latin.yaml]": "outbox.yaml:1:11 include[0]: the file latin.yaml is not UTF-8 text",
    "include: [utf16.yaml]": "outbox.yaml:1:11 include[0]: the file utf16.yaml is not UTF-8 text",
    "include: [large.yaml]": "outbox.yaml:1:11 include[0]: the file large.yaml is larger than 1024KiB",
    "include: [broken.yaml]": (
        "broken.yaml:2:1: not valid YAML: while parsing a flow node, "
        "expected the node content, but found '<stream end>'"
    ),
    "include: [list.yaml]": "list.yaml:1:1: the top level must be a mapping such as 'postgres:' and 'flows:'",
    "include: [deeper.yaml]": (
        "deeper.yaml:2:1 include: an included file cannot include others; list them in outbox.yaml"
    ),
    "include: ['*utbox.yaml']": (
        "outbox.yaml:1:11 include[0]: includes this file itself; put the others into a folder of their own"
    ),
    "include: [./link.yaml]": (
        "outbox.yaml:1:11 include[0]: includes this file itself; put the others into a folder of their own"
    ),
    "include: ['${NOPE}.yaml']": "outbox.yaml:1:11 include[0]: the environment variable NOPE is not set",
    "inclde: [a.yaml]": "outbox.yaml:1:1 inclde: unknown key; did you mean 'include'?",
}


@pytest.mark.parametrize(("text", "problem"), BAD.items(), ids=list(BAD))
def test_what_cannot_be_included_is_told_with_its_name(text: str, problem: str, tmp_path: Path) -> None:
    put(tmp_path, {"a.yaml": "", "broken.yaml": "drain: [\n", "list.yaml": "- a", "deeper.yaml": "\ninclude: [a.yaml]"})
    (tmp_path / "latin.yaml").write_bytes("drain: ä".encode("latin-1"))
    (tmp_path / "utf16.yaml").write_bytes("drain: 1s".encode("utf-16"))
    (tmp_path / "large.yaml").write_text("#" * (1024 * 1024 + 1), encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "link.yaml").symlink_to("outbox.yaml")
    os.mkfifo(tmp_path / "pipe")
    told = problems_of(text, tmp_path)
    assert problem.replace("FOLDER", str(tmp_path)) in told
    assert all("No such file" not in other for other in told if other != problem)


def test_a_file_that_two_patterns_match_is_read_once(tmp_path: Path) -> None:
    settings = loaded(tmp_path, f"include: ['flows/*', flows/a.yaml]\n{CONNECTION}", {"flows/a.yaml": flow("a")})
    assert list(settings.flows) == ["a"]


def test_what_editors_and_kubernetes_keep_beside_a_file_is_not_read(tmp_path: Path) -> None:
    put(tmp_path, {"flows/..2026_01_01/a.yaml": flow("a"), "flows/.#a.yaml": "no: ["})
    (tmp_path / "flows" / "..data").symlink_to("..2026_01_01")
    (tmp_path / "flows" / "a.yaml").symlink_to("..data/a.yaml")
    assert list(settings_of(MAIN.replace("*.yaml", "*"), tmp_path).flows) == ["a"]


def test_the_name_of_a_file_may_come_from_the_environment(tmp_path: Path) -> None:
    put(tmp_path, {"test.yaml": "drain: 7s"})
    settings = settings_of("include: ['${OUTBOX_STAGE}.yaml']", tmp_path, {**URLS, "OUTBOX_STAGE": "test"})
    assert settings.drain == 7


def test_too_many_files_or_bytes_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(include, "_MAX_FILES", 3)
    files = {f"flows/{name}.yaml": flow(name) for name in "abc"}
    told = problems(tmp_path, MAIN, files)
    assert told == [
        "outbox.yaml:1:11 include[0]: is more than is read: 3 files and 4096KiB altogether; is the pattern too wide?"
    ]
    monkeypatch.setattr(include, "_MAX_FILES", 10)
    assert problems(tmp_path, MAIN, files) == []
    size_bytes = sum(len(text) for text in files.values())
    monkeypatch.setattr(include, "_MAX_ALL_BYTES", size_bytes)
    assert problems(tmp_path, MAIN, files) == []
    monkeypatch.setattr(include, "_MAX_ALL_BYTES", size_bytes - 1)
    assert "more than is read" in problems(tmp_path, MAIN, files)[0]


def test_what_may_stand_in_an_unreadable_file_is_not_missed(tmp_path: Path) -> None:
    told = problems(
        tmp_path, "include: [crm.yaml, flows/a.yaml]", {"crm.yaml": "connections: [", "flows/a.yaml": flow("a")}
    )
    assert len(told) == 1
    assert told[0].startswith("crm.yaml:1:15: not valid YAML")


def test_a_change_of_any_file_is_seen_and_of_no_other(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("t0ken", encoding="utf-8")
    put(tmp_path, {"flows/a.yaml": flow("a"), "flows/other.txt": "", "outbox.yaml": MAIN})
    put(tmp_path, {"outbox.yaml": MAIN.replace("}}", f", bearer: 'file:{secret}'}}}}")})

    def read() -> FilesRead:
        files = FilesRead()
        load(path=tmp_path / "outbox.yaml", environ=URLS, adapters=ADAPTERS, files=files)
        assert files.as_is() == files.as_found()
        return files

    for change in (
        lambda: put(tmp_path, {"outbox.yaml": (tmp_path / "outbox.yaml").read_text(encoding="utf-8") + "# more"}),
        lambda: put(tmp_path, {"flows/a.yaml": flow("b")}),
        lambda: put(tmp_path, {"flows/c.yaml": flow("c")}),
        lambda: (tmp_path / "flows/c.yaml").rename(tmp_path / "flows/d.yaml"),
        lambda: secret.write_text("other", encoding="utf-8"),
        lambda: secret.unlink() or secret.write_text("other", encoding="utf-8"),
    ):
        files = read()
        change()
        assert files.as_is() != files.as_found()

    files = read()
    put(tmp_path, {"flows/other.txt": "changed"})
    assert files.as_is() == files.as_found()


def test_a_file_that_could_not_be_read_is_waited_for(tmp_path: Path) -> None:
    files = FilesRead()
    (tmp_path / "outbox.yaml").write_text("include: [a.yaml]", encoding="utf-8")
    with pytest.raises(ConfigProblems):
        load(path=tmp_path / "outbox.yaml", environ=URLS, adapters=ADAPTERS, files=files)
    assert files.as_is() == files.as_found()
    put(tmp_path, {"a.yaml": ""})
    assert files.as_is() != files.as_found()
