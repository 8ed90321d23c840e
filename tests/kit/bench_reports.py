"""Reports as a run would write them, with chosen figures."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from bench.figures import figures
from bench.plan import FULL, Applier, Condition, Contender, MappingWay
from bench.records import Depth, Drain, Erp, ErpTable, Flow, Idle, Latency, Machine, Mapped, Quantiles, Report

RATES = {
    Contender.LIMIT: 30_000.0,
    Contender.RELAY: 24_000.0,
    Contender.PLAIN: 6_000.0,
    Contender.SKIP_LOCKED: 5_000.0,
}
APPLIED = {
    Applier.BARE: 6_000.0,
    Applier.FLOW: 3_000.0,
    Applier.BATCHES: 12_000.0,
    Applier.BLOCKED: 3_000.0,
    Applier.FLOOD: 3_000.0,
    Applier.CONSUMER: 1_000.0,
}


def drain(number: int, contender: Contender, rate: float, condition: Condition = Condition.QUIET) -> Drain:
    return Drain(
        round=number,
        contender=contender,
        condition=condition,
        events=1_000,
        arrived=1_000,
        events_per_second=rate,
        cpu_microseconds_per_event=8.0,
        peak_resident_mb=70.0,
        process_seconds=1.0,
        dead_made=1_000 if contender is Contender.SKIP_LOCKED else 0,
        dead_left=0,
    )


def latency(number: int, condition: Condition, p50: float, rate: int = 1_000) -> Latency:
    confirm = Quantiles(p50=p50, p99=p50 * 3, max=p50 * 9)
    return Latency(
        round=number,
        contender=Contender.RELAY,
        condition=condition,
        wanted_per_second=rate,
        committed=100,
        committed_per_second=float(rate),
        late_p99_ms=0.1,
        lost=0,
        repeated=0,
        confirm=confirm,
        delivered=confirm,
    )


def full_report(*, drains: Iterable[Drain] | None = None, latencies: Iterable[Latency] | None = None) -> Report:
    """Return a full run of three rounds that meets every bar, unless it is given records that do not."""
    numbers = range(1, FULL.rounds + 1)
    if drains is None:
        drains = [drain(number, contender, rate) for number in numbers for contender, rate in RATES.items()]
    if latencies is None:
        latencies = [latency(number, condition, 2.0) for number in numbers for condition in Condition]
    report = Report(
        commit="1a2b3c4",
        has_uncommitted_changes=False,
        measured_at=datetime(2026, 1, 2, tzinfo=UTC),
        seconds=600.0,
        plan=FULL,
        machine=Machine(
            cores=2,
            processor="a processor",
            memory_gb=8.0,
            system="Linux 6.1",
            python="3.11",
            postgresql="15",
            rabbitmq="3.10",
            load_before=0.1,
            is_private=True,
            postgresql_settings={"fsync": "on"},
            relay_settings={"publisher": "batched"},
        ),
        how=("As the test says.",),
        absent={},
        drains=tuple(drains),
        depths=tuple(
            Depth(
                round=number,
                waiting=waiting,
                events=100_000,
                arrived=100_000,
                events_per_second=20_000.0,
                begin_batch_seconds=0.2,
                first_message_seconds=1.0,
            )
            for number in numbers
            for waiting in (100_000, 5_000_000 - 100_000 * (number - 1))
        ),
        latencies=tuple(latencies),
        erps=tuple(
            Erp(round=number, table=table, condition=Condition.QUIET, transactions=1_000, per_second=rate)
            for number in numbers
            for table, rate in ((ErpTable.PLAIN, 1_000.0), (ErpTable.OUTBOX, 950.0))
        ),
        flows=tuple(
            Flow(
                round=number,
                applier=applier,
                events=10_000,
                effects=10_000,
                effects_per_second=rate,
                cpu_microseconds_per_effect=200.0,
                peak_resident_mb=90.0,
                process_seconds=5.0,
            )
            for number in numbers
            for applier, rate in APPLIED.items()
        ),
        mappings=tuple(
            Mapped(round=number, way=way, payload_bytes=2_700, microseconds_per_document=cost)
            for number in numbers
            for way, cost in ((MappingWay.RULES, 180.0), (MappingWay.HAND, 60.0))
        ),
        idles=(
            Idle(
                round=1,
                condition=Condition.QUIET,
                seconds=15.0,
                cpu_percent_of_a_core=0.5,
                statements_per_second=20.0,
                resident_mb=60.0,
            ),
        ),
    )
    return report.model_copy(update={"figures": figures(report)})
