"""Choosing, fetching and reporting versions. No server is started, and nothing is fetched."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from rich.console import Console

from sandbox import matrix, system
from sandbox.binaries import PROJECT, find_postgres, find_rabbitmq
from sandbox.cache import cache_folder, cached
from sandbox.errors import SandboxError
from sandbox.matrix import COMBINATIONS, Combination, chosen, main
from sandbox.matrix_report import Counts, Result, exit_code, read_counts, show
from sandbox.system import System, why_other_systems_cannot_run
from sandbox.versions import rabbitmq_version

REQUIRED_POSTGRES = {15, 16, 18}
REQUIRED_RABBITMQ = {"3.10", "4.0"}


def result(
    name: str = "pg15+rabbitmq4.0", *, failed: int = 0, is_run: bool = True, problem: str | None = None
) -> Result:
    failures = tuple(f"test {n}" for n in range(failed))
    return Result(name, "15.1", "4.0.5", Counts(7, failed, 1, failures), 61.4, is_run, problem)


def names(*only: str) -> list[str]:
    return [combination.name for combination in chosen(only)]


def test_every_required_version_is_in_a_combination_and_both_newest_are_in_one() -> None:
    assert {one.postgres for one in COMBINATIONS} == REQUIRED_POSTGRES
    assert {one.rabbitmq for one in COMBINATIONS} == REQUIRED_RABBITMQ
    assert Combination(18, "4.0") in COMBINATIONS
    assert chosen([]) == list(COMBINATIONS)


def test_the_readme_names_the_versions_that_are_tested() -> None:
    def listed(versions: Iterable[object]) -> str:
        *first, last = map(str, versions)
        return f"{', '.join(first)} and {last}"

    readme = " ".join((PROJECT / "README.md").read_text(encoding="utf-8").split())
    postgres = listed(sorted({one.postgres for one in COMBINATIONS}))
    rabbitmq = listed(sorted({one.rabbitmq for one in COMBINATIONS}, key=float))
    assert f"Tested on PostgreSQL {postgres} with RabbitMQ {rabbitmq} (`make matrix`)" in readme


def test_all_words_of_a_choice_have_to_fit_and_several_choices_add_up() -> None:
    assert names("pg18,rabbitmq4") == ["pg18+rabbitmq4.0"]
    assert names("rabbitmq4.0") == ["pg15+rabbitmq4.0", "pg18+rabbitmq4.0"]
    assert names("pg18", "pg16", "rabbitmq4,pg18") == ["pg16+rabbitmq3.10", "pg18+rabbitmq4.0"]


def test_a_choice_that_fits_nothing_is_wrong_usage_with_the_words_that_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "pg18,rabbitmq3"]) == 2
    shown = capsys.readouterr().err
    assert "no combination has 'pg18,rabbitmq3'" in shown
    assert "pg18+rabbitmq4.0" in shown


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([result(), result(is_run=False, problem="no root")], 0),
        ([result(), result(failed=1)], 1),
        ([result(), result(problem="was not done after 9 s")], 1),
        ([result(is_run=False, problem="no root")], 1),
    ],
    ids=["skipped", "failed", "not done", "nothing was run"],
)
def test_the_exit_code_tells_a_failure_and_never_a_success_that_nobody_saw(results: list[Result], code: int) -> None:
    assert exit_code(results) == code


def test_the_run_goes_on_after_a_failure_and_reports_everything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        matrix,
        "run_combination",
        lambda combination, _tests, _workers: result(combination.name, failed=combination.postgres == 16),
    )
    report = tmp_path / "report.json"
    assert main(["--report", str(report)]) == 1
    written = json.loads(report.read_text())
    assert [(one["combination"], one["verdict"]) for one in written] == [
        ("pg15+rabbitmq3.10", "passed"),
        ("pg16+rabbitmq3.10", "failed"),
        ("pg15+rabbitmq4.0", "passed"),
        ("pg18+rabbitmq4.0", "passed"),
    ]
    assert "pg16+rabbitmq3.10 failed: test 0" in capsys.readouterr().out


def test_what_cannot_be_prepared_is_skipped_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Path:
        raise SandboxError("needs root", next_step="be root")

    monkeypatch.setattr(matrix, "prepare_postgres", lambda *_: Path("/pg"))
    monkeypatch.setattr(matrix, "prepare_rabbitmq", refuse)
    skipped = matrix.run_combination(COMBINATIONS[0], [], 2)
    assert (skipped.verdict, skipped.problem) == ("SKIPPED", "needs root")
    screen = io.StringIO()
    show([skipped], Console(file=screen, width=100))
    assert "pg15+rabbitmq3.10 SKIPPED: needs root" in screen.getvalue()


def test_tests_are_counted_as_pytest_reports_them(tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(
        "import pytest\n"
        "def test_a(): pass\n"
        "def test_b(): assert False\n"
        "@pytest.fixture\ndef broken(): raise OSError\n"
        "def test_c(broken): pass\n"
        "def test_d(): pytest.skip('no')\n"
    )
    junit = tmp_path / "junit.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={junit}", str(file)]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert read_counts(junit) == Counts(1, 2, 1, ("test_it::test_b", "test_it::test_c"))


@pytest.mark.parametrize("given", ["", "relative"])
def test_the_cache_is_in_the_home_folder_unless_an_absolute_path_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert cache_folder() == tmp_path / ".cache" / "outbox-sandbox"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert cache_folder() == tmp_path / "other" / "outbox-sandbox"


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_folder()


def test_a_folder_of_the_cache_is_made_once_and_is_there_as_a_whole_or_not_at_all(cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise SandboxError("no network", next_step="wait")

    with pytest.raises(SandboxError):
        cached("thing", fail)
    assert [path.name for path in cache.iterdir()] == [".thing.lock"]

    made = cached("thing", lambda folder: (folder / "whole").touch())
    assert made == cache / "thing"
    assert cached("thing", fail) == made
    assert [path.name for path in made.iterdir()] == ["whole"]


def test_what_a_killed_run_was_making_is_removed_by_the_next(cache: Path) -> None:
    script = (
        "import sys, time; from sandbox.cache import cached\n"
        "cached('thing', lambda folder: ((folder / 'half').touch(), print('making', flush=True), time.sleep(60)))"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=PROJECT, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "making\n"
        os.kill(killed.pid, signal.SIGKILL)
    assert [path for path in cache.iterdir() if path.is_dir()]

    cached("thing", lambda folder: (folder / "whole").touch())

    assert [path.name for path in cache.iterdir() if path.is_dir()] == ["thing"]
    assert [path.name for path in (cache / "thing").iterdir()] == ["whole"]


def test_programs_of_another_debian_need_root_and_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system.os, "geteuid", lambda: 1000)
    assert "needs root" in str(why_other_systems_cannot_run())


def test_only_programs_of_another_root_folder_are_started_through_it(tmp_path: Path) -> None:
    assert System().command(["epmd", "-port", "1"], working_folder=tmp_path) == ["epmd", "-port", "1"]
    other = System(tmp_path)
    entering = other.command([tmp_path / "usr/bin/epmd", "-port", "1"], working_folder=Path("/run/x"))
    assert entering[0] == "unshare"
    assert entering[-3:] == [Path("/usr/bin/epmd"), "-port", "1"]
    assert other.find("epmd") is None


@pytest.mark.parametrize("find", [find_postgres, find_rabbitmq])
def test_a_folder_that_is_named_and_has_no_server_is_an_error_and_never_another_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, find: object
) -> None:
    monkeypatch.setenv("SANDBOX_POSTGRES", str(tmp_path))
    monkeypatch.setenv("SANDBOX_RABBITMQ_ROOT", str(tmp_path))
    assert callable(find)
    with pytest.raises(SandboxError, match=str(tmp_path)) as caught:
        find()
    assert "unset SANDBOX_" in caught.value.next_step


def test_the_version_of_a_rabbitmq_is_the_name_of_its_folder() -> None:
    assert rabbitmq_version(Path("/x/usr/lib/rabbitmq/lib/rabbitmq_server-4.0.5/sbin")) == "4.0.5"
