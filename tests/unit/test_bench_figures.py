"""What the benchmark makes of its records: figures, bars, and nothing that was not measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import mapping_work
from bench.bench import Findings
from bench.figures import figures
from bench.latency import durations, quantiles_of_ns
from bench.plan import FULL, QUICK, Condition, Contender, Section, in_turn
from bench.records import Bar, Depth, Figure, Report
from bench.stamps import Stamps, count_stamps, read_stamps
from bench.summary import percentile, spread
from bench.tables import row, verdict_text
from tests.kit.bench_reports import drain, full_report, latency


def figure(report: Report, name: str) -> Figure:
    (found,) = [one for one in report.figures if one.name == name]
    return found


def test_a_ratio_is_formed_within_a_round_and_not_between_medians() -> None:
    # The machine slowed down after each round: the ratio is 0.8 in every one of them.
    limits = [drain(number, Contender.LIMIT, rate) for number, rate in ((1, 30_000), (2, 20_000), (3, 10_000))]
    relays = [drain(number, Contender.RELAY, rate) for number, rate in ((1, 24_000), (2, 16_000), (3, 8_000))]
    ratio = figure(full_report(drains=[*limits, *relays]), "drain: relay / C limit")
    assert (ratio.value, ratio.low, ratio.high) == (0.8, 0.8, 0.8)


def test_a_report_that_meets_every_bar_has_none_missed() -> None:
    assert [one.name for one in full_report().figures if one.is_missed()] == []


def test_every_bar_of_the_design_is_among_the_figures() -> None:
    bars = {one.name: str(one.bar) for one in full_report().figures if one.bar is not None}
    assert bars == {
        "drain: relay / C limit": "≥ 0.7",
        "drain: relay / SKIP LOCKED": "≥ 4",
        "CPU per event: relay": "≤ 12",
        "peak resident memory: relay": "≤ 90",
        "dead tuples made per event: relay": "≤ 0",
        "dead tuples made per event, xid open: relay": "≤ 0",
        "drain: 5,000,000 waiting / 100,000 waiting": "≥ 0.9",
        "commit → confirm, 1,000/s, quiet: p50": "≤ 4",
        "commit → confirm, 1,000/s, quiet: p99": "≤ 15",
        "commit → confirm, 1,000/s, xid open: p50": "≤ 4",
        "commit → confirm, 1,000/s, xid open: p99": "≤ 15",
        "commit → confirm, 1,000/s: p50, xid open / quiet": "≤ 1.25",
        "commit → confirm, 1,000/s: p50, snapshot held / quiet": "≤ 1.25",
        "ERP: with the outbox / plain table": "≥ 0.9",
        "effects: flow / bare aiohttp loop": "≥ 0.4",
        "effects: flow with batches / one by one": "≥ 3",
        "effects: flow / aio-pika consumer with processed_messages": "≥ 2",
        "effects: flow beside 100,000 blocked behind one key / flow": "≥ 0.9",
        "peak resident memory: flow, 1,000,000 messages waiting / flow": "≤ 1.25",
        "idle: CPU": "≤ 1",
        "idle: statements": "≤ 25",
        "idle, xid open: CPU": "≤ 1",
        "idle, xid open: statements": "≤ 25",
        "intake, 2,000/s: not answered with 202": "≤ 0",
        "intake, 2,000/s: taken": "≥ 1980",
    }


def test_a_mapping_is_shown_beside_python_by_hand() -> None:
    ratio = figure(full_report(), "mapping of 30 fields and 20 lines: rules / by hand")
    assert row(ratio) == ("mapping of 30 fields and 20 lines: rules / by hand", "3 x", "", "", "")


def test_rules_and_python_by_hand_make_the_same_document() -> None:
    made = mapping_work.mapping().apply(mapping_work.payload())
    lines = made["item"]

    assert made == mapping_work.by_hand(mapping_work.payload())
    assert isinstance(lines, dict)
    assert len(lines["items"]) == mapping_work.LINES


def test_a_missed_bar_is_shown_with_its_figure() -> None:
    slow = [drain(1, Contender.LIMIT, 30_000), drain(1, Contender.RELAY, 15_000)]
    missed = figure(full_report(drains=slow), "drain: relay / C limit")
    assert row(missed) == ("drain: relay / C limit", "0.5 x", "", "≥ 0.7", "MISSED")


def test_a_yardstick_that_is_not_here_leaves_its_ratio_unmeasured() -> None:
    report = full_report(drains=[drain(1, Contender.RELAY, 24_000)])
    assert verdict_text(figure(report, "drain: relay / C limit")) == "not measured"


def test_a_relay_that_a_stranger_slows_down_misses_its_bar() -> None:
    report = full_report(latencies=[latency(1, Condition.QUIET, 2.0), latency(1, Condition.XID, 3.0)])
    assert figure(report, "commit → confirm, 1,000/s: p50, xid open / quiet").is_missed()


def test_the_cost_of_finding_a_batch_is_spread_over_the_whole_backlog() -> None:
    depth = Depth(
        round=1,
        waiting=1_000_000,
        events=100_000,
        arrived=100_000,
        events_per_second=100_000.0,
        begin_batch_seconds=10.0,
        first_message_seconds=11.0,
    )
    assert depth.whole_backlog_per_second() == 50_000.0


def test_the_figures_follow_from_the_records_of_a_report_that_was_written_and_read() -> None:
    report = Report.model_validate_json(full_report().model_dump_json())
    assert report == full_report()
    assert figures(report) == report.figures


@pytest.mark.parametrize(
    ("kind", "value", "is_met"),
    [("at least", 0.9, True), ("at least", 0.899, False), ("at most", 0.9, True), ("at most", 0.901, False)],
)
def test_a_bar_is_met_on_the_bar_itself(kind: str, value: float, is_met: bool) -> None:
    assert Bar.model_validate({"kind": kind, "limit": 0.9}).is_met(value) is is_met


def test_events_that_are_missing_or_too_many_are_a_wrong_result() -> None:
    findings = Findings()
    findings.expect("drain 1", committed=100, arrived=100)
    assert findings.wrong == []
    findings.expect("drain 2", committed=100, arrived=98)
    findings.expect("drain 3", committed=100, arrived=103)
    assert [problem.rsplit(", ", 1)[1] for problem in findings.wrong] == ["2 lost", "3 repeated"]


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, percent) for percent in (1, 50, 60, 99, 100)] == [1.0, 3.0, 3.0, 5.0, 5.0]


def test_durations_are_told_in_milliseconds() -> None:
    assert quantiles_of_ns([2_000_000] * 99 + [50_000_000]).model_dump() == {"p50": 2.0, "p99": 2.0, "max": 50.0}


def test_nothing_measured_has_no_median() -> None:
    assert spread([]) is None


def test_no_contender_is_first_in_every_round() -> None:
    rounds = [in_turn("abc", number) for number in range(3)]
    assert rounds == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]
    assert in_turn([], 2) == []


def test_only_a_run_of_everything_at_full_size_is_complete() -> None:
    assert FULL.is_complete()
    assert not QUICK.is_complete()
    assert not FULL.model_copy(update={"sections": (Section.DRAIN,)}).is_complete()
    assert not FULL.model_copy(update={"rates": (100,)}).is_complete()
    assert FULL.model_copy(update={"rounds": 9}).is_complete()


def test_moments_are_read_while_their_file_grows(tmp_path: Path) -> None:
    path = tmp_path / "stamps"
    assert (count_stamps(path), read_stamps(path)) == (0, [])
    with Stamps(path) as stamps:
        stamps.add([7, 9], 1_000)
    with path.open("ab") as file:
        file.write(b"half")
    assert (count_stamps(path), read_stamps(path)) == (2, [(7, 1_000), (9, 1_000)])


def test_a_load_is_counted_from_half_a_second_on_and_only_what_arrived() -> None:
    committed_at = {1: 0, 2: 499_999_999, 3: 500_000_000, 4: 900_000_000}
    assert durations(committed_at, {1: 60_000_000, 2: 560_000_000, 3: 502_000_000}) == [2_000_000]
