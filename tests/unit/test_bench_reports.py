"""What people are shown of a benchmark: the README's figures are those of a report that is kept, and no others."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from bench.__main__ import main
from bench.compare import compare, mark
from bench.figures import figures
from bench.plan import QUICK
from bench.readme import NotForReadmeError, rewritten, section, shown_in, source_of
from bench.records import Figure, Report
from bench.tables import row, show
from tests.kit.bench_reports import full_report

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SOURCE = "bench/results/1a2b3c4.json"


def printed(report: Report) -> str:
    text = io.StringIO()
    show(report, Console(file=text, width=400))
    return text.getvalue()


def test_the_readme_shows_what_the_report_that_it_names_has_printed() -> None:
    source = source_of(README)
    if source is None:
        assert "## Measured" not in README
        return
    report = Report.model_validate_json((ROOT / source).read_text(encoding="utf-8"))
    assert figures(report) == report.figures
    assert shown_in(README) == section(report, source)
    assert (ROOT / source).with_suffix(".svg").is_file()


def test_every_cell_of_the_readme_was_printed() -> None:
    report = full_report()
    lines = [re.split(r"\s*\|\s*", line)[1:-1] for line in section(report, SOURCE).splitlines() if line[:1] == "|"]
    console = printed(report)
    for cells in lines[2:]:
        assert re.search(r"\s*│\s*".join(map(re.escape, cells)), console), cells


def test_the_readme_names_its_report_and_its_chart() -> None:
    text = rewritten("# Title\n\nMore: elsewhere.\n", section(full_report(), SOURCE))
    assert source_of(text) == SOURCE
    assert "(bench/results/1a2b3c4.svg)" in text
    assert text.index("## Measured") < text.index("More: elsewhere.")


def test_writing_the_section_again_replaces_it() -> None:
    first = rewritten(README, section(full_report(), "bench/results/old.json"))
    second = rewritten(first, section(full_report(), SOURCE))
    assert second == rewritten(README, section(full_report(), SOURCE))
    assert rewritten(second, section(full_report(), SOURCE)) == second


def test_a_quick_run_is_not_shown() -> None:
    with pytest.raises(NotForReadmeError, match="full run"):
        section(full_report().model_copy(update={"plan": QUICK}), SOURCE)


def test_a_run_with_wrong_results_is_not_shown() -> None:
    with pytest.raises(NotForReadmeError, match="3 events lost"):
        section(full_report().model_copy(update={"wrong": ("3 events lost",)}), SOURCE)


def test_a_wrong_result_is_printed_and_cannot_be_overlooked() -> None:
    assert "wrong: 3 events lost" in printed(full_report().model_copy(update={"wrong": ("3 events lost",)}))


def test_a_change_is_marked_only_when_the_rounds_do_not_overlap() -> None:
    before = Figure(name="x", unit="", value=10.0, low=9.0, high=11.0)
    assert mark(before, Figure(name="x", unit="", value=12.0, low=10.5, high=13.0)) == ""
    assert mark(before, Figure(name="x", unit="", value=13.0, low=12.0, high=14.0)) == "higher"
    assert mark(before, Figure(name="x", unit="", value=8.0, low=7.0, high=8.5)) == "lower"


def test_two_reports_are_compared_figure_by_figure() -> None:
    text = io.StringIO()
    compare(full_report(), full_report(), Console(file=text, width=200))
    compared = [line for line in text.getvalue().splitlines() if "drain: relay / C limit" in line]
    assert len(compared) == 1
    assert "+0 %" in compared[0]


def test_reports_are_found_by_file_and_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.json"
    file.write_text(full_report().model_dump_json(), encoding="utf-8")
    assert main(["show", str(file)]) == 0
    assert main(["compare", str(file), str(file)]) == 0
    assert "drain: relay / C limit" in capsys.readouterr().out


def test_a_report_that_is_not_there_is_an_error_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "0000000", "1111111"]) == 1
    assert capsys.readouterr().err.startswith("error:")


def test_a_report_of_another_version_is_an_error_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    file.write_text('{"format": 0}', encoding="utf-8")
    assert main(["show", str(file)]) == 1
    assert "not a report of this version" in capsys.readouterr().err


def test_every_row_has_the_same_cells() -> None:
    assert {len(row(figure)) for figure in full_report().figures} == {5}
