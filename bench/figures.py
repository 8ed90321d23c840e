"""From records to figures and bars. Pure: the same records give the same figures, whenever they are looked at.

A ratio is formed within a round, between measurements that were taken side by side; shown is the median of the rounds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from bench.plan import BAR_RATE, INTAKE_RATE, Applier, Condition, Contender, MappingWay, Plan, Section
from bench.records import (
    Bar,
    Crash,
    Depth,
    Drain,
    Erp,
    ErpTable,
    Figure,
    Flow,
    Idle,
    Intake,
    Latency,
    Mapped,
    Quantiles,
    Report,
)
from bench.summary import spread

OF_LIMIT = Bar(kind="at least", limit=0.7)
OF_SKIP_LOCKED = Bar(kind="at least", limit=4)
CPU = Bar(kind="at most", limit=12)
MEMORY = Bar(kind="at most", limit=90)
CONFIRM_P50 = Bar(kind="at most", limit=4)
CONFIRM_P99 = Bar(kind="at most", limit=15)
# "Unchanged": within what two quiet rounds may differ by. Behind an xmin fence it would be the whole transaction.
DISTURBED = Bar(kind="at most", limit=1.25)
DEEP = Bar(kind="at least", limit=0.9)
DEAD = Bar(kind="at most", limit=0)
ERP = Bar(kind="at least", limit=0.9)
OF_BARE = Bar(kind="at least", limit=0.4)
OF_CONSUMER = Bar(kind="at least", limit=2)
# No slower, and no larger, but for what two runs may differ by.
UNDISTURBED = Bar(kind="at least", limit=0.9)
FLAT = Bar(kind="at most", limit=1.25)
BATCHED = Bar(kind="at least", limit=3)
IDLE_CPU = Bar(kind="at most", limit=1)
NO_ERROR = Bar(kind="at most", limit=0)
IDLE_STATEMENTS = Bar(kind="at most", limit=25)


def figures(report: Report) -> tuple[Figure, ...]:
    """Return every figure, also those that were not measured."""
    return (
        *_drains(report.drains),
        *_disturbed_drains(report.drains),
        *_dead_tuples(report.drains),
        *_depths(report.depths, report.plan),
        *_latencies(report.latencies, report.plan),
        *_erps(report.erps),
        *_idles(report.idles),
        *_flows(report.flows, report.plan),
        *_crashes(report.crashes, report.plan),
        *(_mappings(report.mappings) if Section.MAPPING in report.plan.sections else ()),
        *(_intakes(report.intakes) if Section.INTAKE in report.plan.sections else ()),
    )


def _drains(drains: Sequence[Drain]) -> Iterator[Figure]:
    rates = {
        contender: _by_round(drains, lambda d: d.events_per_second, contender=contender, condition=Condition.QUIET)
        for contender in Contender
    }
    relay = rates[Contender.RELAY]
    yield _figure("drain: relay / C limit", "x", _ratios(relay, rates[Contender.LIMIT]), OF_LIMIT)
    yield _figure("drain: relay / SKIP LOCKED", "x", _ratios(relay, rates[Contender.SKIP_LOCKED]), OF_SKIP_LOCKED)
    yield _figure("drain: relay / relay with the plain publisher", "x", _ratios(relay, rates[Contender.PLAIN]))
    for contender in Contender:
        yield _figure(f"drain: {contender}", "events/s", rates[contender].values())
    for contender in Contender:
        cpu = _by_round(
            drains, lambda d: d.cpu_microseconds_per_event, contender=contender, condition=Condition.QUIET
        ).values()
        yield _figure(f"CPU per event: {contender}", "µs", cpu, CPU if contender is Contender.RELAY else None)
    for contender in Contender:
        peak = _by_round(drains, lambda d: d.peak_resident_mb, contender=contender, condition=Condition.QUIET).values()
        yield _figure(
            f"peak resident memory: {contender}", "MB", peak, MEMORY if contender is Contender.RELAY else None
        )


def _disturbed_drains(drains: Sequence[Drain]) -> Iterator[Figure]:
    for contender in (Contender.RELAY, Contender.SKIP_LOCKED):
        quiet, disturbed = (
            _by_round(drains, lambda d: d.events_per_second, contender=contender, condition=condition)
            for condition in (Condition.QUIET, Condition.XID)
        )
        yield _figure(f"drain, xid open: {contender}", "events/s", disturbed.values())
        yield _figure(f"drain, xid open / quiet: {contender}", "x", _ratios(disturbed, quiet))


def _dead_tuples(drains: Sequence[Drain]) -> Iterator[Figure]:
    for contender in (Contender.RELAY, Contender.SKIP_LOCKED):
        for condition in (Condition.QUIET, Condition.XID):
            found = [
                drain
                for drain in drains
                if drain.contender is contender and drain.condition is condition and drain.dead_made is not None
            ]
            suffix = "" if condition is Condition.QUIET else ", xid open"
            yield _figure(
                f"dead tuples made per event{suffix}: {contender}",
                "",
                [(drain.dead_made or 0) / drain.events for drain in found],
                DEAD if contender is Contender.RELAY else None,
            )
            yield _figure(
                f"dead tuples left{suffix}: {contender}", "", [float(drain.dead_left or 0) for drain in found]
            )


def _depths(depths: Sequence[Depth], plan: Plan) -> Iterator[Figure]:
    # What a round drains of the deep backlog is a small part of it.
    deepest = max((depth.waiting for depth in depths), default=0)
    shallow = [depth for depth in depths if depth.waiting * 2 < deepest]
    deep = [depth for depth in depths if depth.waiting * 2 >= deepest]
    whole = [{d.round: d.whole_backlog_per_second() for d in part} for part in (deep, shallow)]
    few, many = f"{plan.events:,} waiting", f"{plan.deep_events:,} waiting"
    yield _figure(f"drain: {many} / {few}", "x", _ratios(*whole), DEEP)
    for name, part in ((few, shallow), (many, deep)):
        yield _figure(f"{name}: drain", "events/s", [depth.events_per_second for depth in part])
        yield _figure(f"{name}: finding the batch, once", "s", [depth.begin_batch_seconds for depth in part])
        yield _figure(
            f"{name}: start of the process to first message",
            "s",
            [depth.first_message_seconds for depth in part],
        )


def _latencies(latencies: Sequence[Latency], plan: Plan) -> Iterator[Figure]:
    def confirm(take: Callable[[Quantiles], float], rate: int, condition: Condition) -> Mapping[int, float]:
        return {
            record.round: take(record.confirm)
            for record in latencies
            if record.contender is Contender.RELAY
            and (record.wanted_per_second, record.condition) == (rate, condition)
            and record.confirm is not None
        }

    for rate in sorted({BAR_RATE, *plan.rates}):
        is_bar = rate == BAR_RATE
        for condition in Condition:
            name = f"commit → confirm, {rate:,}/s, {condition}"
            is_barred = is_bar and condition is not Condition.SNAPSHOT
            yield _figure(
                f"{name}: p50", "ms", confirm(_p50, rate, condition).values(), CONFIRM_P50 if is_barred else None
            )
            yield _figure(
                f"{name}: p99", "ms", confirm(_p99, rate, condition).values(), CONFIRM_P99 if is_barred else None
            )
            yield _figure(f"{name}: max", "ms", confirm(_max, rate, condition).values())
        reached = [
            record.committed_per_second
            for record in latencies
            if record.contender is Contender.RELAY and record.wanted_per_second == rate
        ]
        yield _figure(f"commits when {rate:,}/s were asked for", "events/s", reached)
    for condition in (Condition.XID, Condition.SNAPSHOT):
        ratios = _ratios(confirm(_p50, BAR_RATE, condition), confirm(_p50, BAR_RATE, Condition.QUIET))
        yield _figure(f"commit → confirm, {BAR_RATE:,}/s: p50, {condition} / quiet", "x", ratios, DISTURBED)
    for contender in (Contender.RELAY, Contender.SKIP_LOCKED):
        for condition in (Condition.QUIET, Condition.XID):
            found = [
                record.delivered
                for record in latencies
                if (record.contender, record.wanted_per_second, record.condition) == (contender, BAR_RATE, condition)
            ]
            name = f"commit → consumer, {BAR_RATE:,}/s, {condition}: {contender}"
            yield _figure(f"{name}: p50", "ms", map(_p50, found))
            yield _figure(f"{name}: p99", "ms", map(_p99, found))


def _erps(erps: Sequence[Erp]) -> Iterator[Figure]:
    for condition in (Condition.QUIET, Condition.XID):
        rates = {
            table: {
                record.round: record.per_second
                for record in erps
                if record.table is table and record.condition is condition
            }
            for table in ErpTable
        }
        plain, suffix = rates[ErpTable.PLAIN], "" if condition is Condition.QUIET else ", xid open"
        bar = ERP if condition is Condition.QUIET else None
        yield _figure(f"ERP: with the outbox / plain table{suffix}", "x", _ratios(rates[ErpTable.OUTBOX], plain), bar)
        relayed = _ratios(rates[ErpTable.OUTBOX_RELAYED], plain)
        yield _figure(f"ERP: with the outbox and a relay on the same cores / plain table{suffix}", "x", relayed)
        for table in ErpTable:
            yield _figure(f"ERP{suffix}: {table}", "transactions/s", rates[table].values())


def _idles(idles: Sequence[Idle]) -> Iterator[Figure]:
    for condition in (Condition.QUIET, Condition.XID):
        found = [record for record in idles if record.condition is condition]
        suffix = "" if condition is Condition.QUIET else ", xid open"
        yield _figure(f"idle{suffix}: CPU", "% of a core", [r.cpu_percent_of_a_core for r in found], IDLE_CPU)
        yield _figure(
            f"idle{suffix}: statements", "statements/s", [r.statements_per_second for r in found], IDLE_STATEMENTS
        )
        yield _figure(f"idle{suffix}: resident memory", "MB", [r.resident_mb for r in found])


def _flows(flows: Sequence[Flow], plan: Plan) -> Iterator[Figure]:
    rates = {
        applier: {one.round: one.effects_per_second for one in flows if one.applier is applier} for applier in Applier
    }
    flow = rates[Applier.FLOW]
    yield _figure("effects: flow / bare aiohttp loop", "x", _ratios(flow, rates[Applier.BARE]), OF_BARE)
    yield _figure("effects: flow with batches / one by one", "x", _ratios(rates[Applier.BATCHES], flow), BATCHED)
    yield _figure(f"effects: flow / {Applier.CONSUMER}", "x", _ratios(flow, rates[Applier.CONSUMER]), OF_CONSUMER)
    peaks = {
        applier: {one.round: one.peak_resident_mb for one in flows if one.applier is applier} for applier in Applier
    }
    beside = _ratios(rates[Applier.BLOCKED], flow)
    yield _figure(f"effects: flow beside {plan.blocked:,} blocked behind one key / flow", "x", beside, UNDISTURBED)
    grown = _ratios(peaks[Applier.FLOOD], peaks[Applier.FLOW])
    yield _figure(f"peak resident memory: flow, {plan.flood_events:,} messages waiting / flow", "x", grown, FLAT)
    for applier in Applier:
        found = [one for one in flows if one.applier is applier]
        yield _figure(f"effects: {applier}", "effects/s", [one.effects_per_second for one in found])
        yield _figure(f"CPU per effect: {applier}", "µs", [one.cpu_microseconds_per_effect for one in found])
        yield _figure(f"peak resident memory: {applier}", "MB", [one.peak_resident_mb for one in found])


def _crashes(crashes: Sequence[Crash], plan: Plan) -> Iterator[Figure]:
    for rate in plan.rates:
        found = [record for record in crashes if record.events_per_second == rate]
        repeated = [record.repeated / record.kills for record in found]
        yield _figure(f"sent again after kill -9 at {rate:,} events/s", "events", repeated)
        yield _figure(f"the same as time at {rate:,} events/s", "s", [events / rate for events in repeated])


def _mappings(mappings: Sequence[Mapped]) -> Iterator[Figure]:
    costs = {
        way: {one.round: one.microseconds_per_document for one in mappings if one.way is way} for way in MappingWay
    }
    name = "mapping of 30 fields and 20 lines"
    yield _figure(f"{name}: rules / by hand", "x", _ratios(costs[MappingWay.RULES], costs[MappingWay.HAND]))
    for way in MappingWay:
        yield _figure(f"{name}: {way}", "µs", costs[way].values())


def _intakes(intakes: Sequence[Intake]) -> Iterator[Figure]:
    for rate in sorted({one.wanted_per_second for one in intakes} or {INTAKE_RATE}):
        found = [one for one in intakes if one.wanted_per_second == rate]
        name = f"intake, {rate:,}/s"
        yield _figure(f"{name}: not answered with 202", "requests", [float(one.others) for one in found], NO_ERROR)
        # All of them, but for the moment in which the last ones are answered.
        taken = Bar(kind="at least", limit=round(rate * 0.99))
        yield _figure(f"{name}: taken", "requests/s", [one.per_second for one in found], taken)
        yield _figure(f"{name}: committed and answered: p50", "ms", [one.answered.p50 for one in found])
        yield _figure(f"{name}: committed and answered: p99", "ms", [one.answered.p99 for one in found])
        yield _figure(f"{name}: CPU per request", "µs", [one.cpu_microseconds_per_request for one in found])
        yield _figure(f"{name}: peak resident memory", "MB", [one.peak_resident_mb for one in found])


def _by_round(
    drains: Sequence[Drain], take: Callable[[Drain], float], *, contender: Contender, condition: Condition
) -> dict[int, float]:
    return {d.round: take(d) for d in drains if d.contender is contender and d.condition is condition}


def _ratios(above: Mapping[int, float], below: Mapping[int, float]) -> list[float]:
    return [above[number] / below[number] for number in above if below.get(number)]


def _figure(name: str, unit: str, values: Iterable[float], bar: Bar | None = None) -> Figure:
    summary = spread(values)
    if summary is None:
        return Figure(name=name, unit=unit, value=None, bar=bar)
    return Figure(name=name, unit=unit, value=summary.middle, low=summary.low, high=summary.high, bar=bar)


def _p50(quantiles: Quantiles) -> float:
    return quantiles.p50


def _p99(quantiles: Quantiles) -> float:
    return quantiles.p99


def _max(quantiles: Quantiles) -> float:
    return quantiles.max
