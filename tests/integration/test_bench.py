"""The benchmark runs, on real servers and in small: whatever it planned is in its report, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from bench import crash, depth, drain, erp, flow, idle, intake, latency, mapping
from bench.figures import figures
from bench.plan import Applier, Contender
from bench.records import Report
from sandbox.binaries import is_linux
from tests.kit.broker import Broker
from tests.kit.database import Database

PROJECT = Path(__file__).resolve().parents[2]


SMALL = ("--events", "400", "--deep-events", "4000", "--seconds", "1", "--idle-seconds", "0.5", "--rates", "200")


# It starts some forty processes one after the other.
@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.skipif(not is_linux(), reason="reads /proc")
async def test_whatever_is_planned_is_in_the_report_and_nothing_is_lost(
    database: Database, broker: Broker, tmp_path: Path
) -> None:
    report, output = await bench(database, broker, tmp_path / "report.json")

    plan, present = report.plan, [contender for contender in Contender if contender not in report.absent]
    assert {Contender.RELAY, Contender.SKIP_LOCKED} <= set(present)
    assert [(one.round, one.contender, one.condition) for one in report.drains] == [
        (work.round, work.contender, work.condition) for work in drain.planned(plan, present) if work.round > 0
    ]
    assert [(one.round, one.contender, one.condition, one.wanted_per_second) for one in report.latencies] == [
        (work.round, work.contender, work.condition, work.rate) for work in latency.planned(plan)
    ]
    assert [(one.table, one.condition) for one in report.erps] == [
        (work.table, work.condition) for work in erp.planned(plan)
    ]
    assert [one.events_per_second for one in report.crashes] == [work.rate for work in crash.planned(plan)]
    assert all(one.lost == 0 for one in report.crashes)
    assert [one.condition for one in report.idles] == [work.condition for work in idle.planned(plan)]
    assert [(one.round, one.applier) for one in report.flows] == [
        (work.round, work.applier) for work in flow.planned(plan) if work.round > 0
    ]
    assert {one.effects for one in report.flows if one.applier is not Applier.FLOOD} == {40}
    # Its queue holds more than is measured, and it goes on until somebody looks.
    assert all(one.effects >= 40 for one in report.flows if one.applier is Applier.FLOOD)
    assert [one.waiting for one in report.depths] == [work.waiting for work in depth.planned(plan)]
    assert [(one.round, one.way) for one in report.mappings] == [
        (work.round, work.way) for work in mapping.planned(plan)
    ]
    assert [(one.round, one.wanted_per_second, one.others) for one in report.intakes] == [
        (work.round, work.rate, 0) for work in intake.planned(plan)
    ]
    assert report.wrong == ()
    assert figures(report) == report.figures
    assert not plan.is_complete()
    for figure in report.figures:
        assert figure.value is None or figure.name in output

    assert {one.arrived for one in report.drains} == {400}
    for contender in present:
        assert value_of(report, f"drain: {contender}") > 0
    assert value_of(report, f"dead tuples made per event: {Contender.RELAY}") == 0
    assert value_of(report, f"dead tuples made per event: {Contender.SKIP_LOCKED}") == 1
    # A second at 200 events a second for us, at 1,000 for the rival, which meets the load that has a bar.
    assert {(one.contender, one.committed) for one in report.latencies} == {
        (Contender.RELAY, 200),
        (Contender.SKIP_LOCKED, 1000),
    }
    for one in report.latencies:
        assert (one.lost, one.repeated) == (0, 0)
        assert 0 < one.delivered.p50 <= one.delivered.p99 <= one.delivered.max
        assert (one.confirm is not None) == (one.contender is Contender.RELAY)
    assert all(one.transactions > 0 for one in report.erps)
    # Neither this machine's folders nor its passwords.
    assert str(PROJECT) not in report.model_dump_json()
    assert "amqp://" not in report.model_dump_json()


async def bench(database: Database, broker: Broker, report: Path) -> tuple[Report, str]:
    """Run the benchmark as people do, on the servers of the tests, and return its report and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench", "--quick", *SMALL, "--report", str(report)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=PROJECT,
        env={**os.environ, "OUTBOX_PG_URL": database.url, "OUTBOX_AMQP_URL": broker.url},
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    written = await asyncio.to_thread(report.read_text, encoding="utf-8")
    return Report.model_validate_json(written), output.decode()


def value_of(report: Report, name: str) -> float:
    (value,) = [one.value for one in report.figures if one.name == name]
    assert value is not None
    return value
