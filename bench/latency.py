"""How long an event takes from COMMIT to the broker's confirm, and to a consumer, at fixed rates."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.bench import Bench, Work, start_ready
from bench.contenders import TABLES
from bench.plan import BAR_RATE, WARM_UP_SECONDS, Condition, Contender, Plan, in_turn
from bench.records import Latency, Quantiles
from bench.stamps import count_stamps, read_stamps
from bench.stand import Database
from bench.summary import percentile
from bench.waiting import becomes_true
from sandbox.demo_programs import Program, ProgramFailedError

_COMMITTER_SECONDS = 60.0
_DELIVERY_SECONDS = 30.0
_STOP_SECONDS = 25.0
_OVERHEAD_SECONDS = 2.0
_NS_PER_MS = 1e6
_NS_PER_SECOND = 1e9


class LatencyWork(NamedTuple):
    """One load to come."""

    round: int
    contender: Contender
    condition: Condition
    rate: int
    seconds: float

    def work(self) -> Work:
        """Return its name and a guess of its length."""
        name = f"latency {self.round}, {self.contender}, {self.rate:,} events/s, {self.condition}"
        return Work(name, self.seconds + _OVERHEAD_SECONDS)


def planned(plan: Plan) -> list[LatencyWork]:
    """Return every load in its order. The rival meets the load that has a bar; its collapse is not the point."""
    works = []
    for number in range(1, plan.rounds + 1):
        for condition in in_turn(Condition, number):
            works += [LatencyWork(number, Contender.RELAY, condition, rate, plan.seconds) for rate in plan.rates]
        for condition in in_turn((Condition.QUIET, Condition.XID), number):
            works.append(LatencyWork(number, Contender.SKIP_LOCKED, condition, BAR_RATE, plan.seconds))
    return works


async def run(bench: Bench) -> None:
    """Measure all of them; the publisher and the consumer run on from load to load."""
    async with bench.stand.database() as database:
        works = planned(bench.plan)
        for number, contender in dict.fromkeys((work.round, work.contender) for work in works):
            mine = [work for work in works if (work.round, work.contender) == (number, contender)]
            await bench.stand.queue.renew()
            pair = _Pair(bench, database, contender, f"{number}-{contender.name.lower()}")
            try:
                await pair.start()
                for work in mine:
                    await bench.measure(work.work(), partial(pair.measure, work))
                await pair.stop()
            except ProgramFailedError as error:
                bench.findings.wrong.append(f"latency {number}, {contender}: {error.problem}")
            finally:
                await pair.end()


class _Pair:
    """A publisher and a consumer, with the files in which they note their moments."""

    def __init__(self, bench: Bench, database: Database, contender: Contender, name: str) -> None:
        self._bench = bench
        self._database = database
        self._contender = contender
        self._folder = bench.stand.folder
        self._confirms = self._folder / f"confirms-{name}"
        self._deliveries = self._folder / f"deliveries-{name}"
        self._has_confirms = contender is not Contender.SKIP_LOCKED
        self._publisher: Program = bench.contenders.measured(contender, database, self._confirms)
        self._consumer: Program = bench.contenders.consumer(self._deliveries)
        self._repeats_told = 0

    async def start(self) -> None:
        await self._consumer.start()
        await start_ready(self._publisher, self._database, TABLES[self._contender], self._delivered)

    async def measure(self, work: LatencyWork) -> str:
        commits = self._folder / "commits"
        commits.unlink(missing_ok=True)
        already_delivered, already_confirmed = await self._delivered(), count_stamps(self._confirms)
        committer = self._bench.contenders.committer(self._database, self._contender, commits, work.rate, work.seconds)
        try:
            async with self._database.stranger(work.condition):
                line = await committer.start_and_read_line(within_seconds=_COMMITTER_SECONDS + work.seconds)
                await committer.wait(within_seconds=_COMMITTER_SECONDS)
                committed = count_stamps(commits)

                async def is_over() -> bool:
                    is_confirmed = count_stamps(self._confirms) >= already_confirmed + committed
                    is_delivered = await self._delivered() >= already_delivered + committed
                    return is_delivered and (is_confirmed or not self._has_confirms)

                await becomes_true(is_over, within_seconds=_DELIVERY_SECONDS)
        finally:
            await committer.end()
        record = self._record(work, commits, json.loads(line))
        self._bench.findings.latencies.append(record)
        self._repeats_told += record.repeated
        if record.lost or record.repeated:
            self._bench.findings.wrong.append(
                f"{work.work().name}: of {record.committed} events {record.lost} were lost, {record.repeated} repeated"
            )
        shown, what = (record.confirm, "confirm") if record.confirm else (record.delivered, "delivery")
        return f"{what} after {shown.p50:.1f} ms (p50), {shown.p99:.1f} ms (p99)"

    def _record(self, work: LatencyWork, commits: Path, told: dict[str, float]) -> Latency:
        committed_at = dict(read_stamps(commits))
        arrivals = [(sequence, at) for sequence, at in read_stamps(self._deliveries) if sequence in committed_at]
        # The first time counts; a repeat is counted by itself.
        delivered_at = dict(reversed(arrivals))
        confirmed_at = dict(reversed(read_stamps(self._confirms)))
        is_confirmed = not self._has_confirms or committed_at.keys() <= confirmed_at.keys()
        if not delivered_at or not is_confirmed:
            raise ProgramFailedError(
                f"of {len(committed_at)} events {len(committed_at.keys() & confirmed_at.keys())} were confirmed,"
                f" {len(delivered_at)} delivered",
                self._publisher.log_tail(),
            )
        delivered, confirmed = (durations(committed_at, arrived_at) for arrived_at in (delivered_at, confirmed_at))
        return Latency(
            round=work.round,
            contender=work.contender,
            condition=work.condition,
            wanted_per_second=work.rate,
            committed=len(committed_at),
            committed_per_second=len(committed_at) / told["seconds"],
            late_p99_ms=told["late_p99_ms"],
            lost=len(committed_at) - len(delivered_at),
            repeated=len(arrivals) - len(delivered_at),
            confirm=quantiles_of_ns(confirmed) if self._has_confirms else None,
            delivered=quantiles_of_ns(delivered),
        )

    async def stop(self) -> None:
        """End the publisher in order, and look for repeats that came after their load was over."""
        if self._has_confirms:
            await self._publisher.stop(within_seconds=_STOP_SECONDS)
        sequences = [sequence for sequence, _ in read_stamps(self._deliveries)]
        late_repeats = len(sequences) - len(set(sequences)) - self._repeats_told
        if late_repeats:
            self._bench.findings.wrong.append(f"latency, {self._contender}: {late_repeats} events were repeated late")

    async def end(self) -> None:
        await self._publisher.end()
        await self._consumer.end()

    async def _delivered(self) -> int:
        return count_stamps(self._deliveries)


def durations(begun_at: Mapping[int, int], ended_at: Mapping[int, int]) -> list[int]:
    """Return how long each event took, in nanoseconds, without those of the load's first moments."""
    counted_from = min(begun_at.values()) + WARM_UP_SECONDS * _NS_PER_SECOND
    return [ended_at[event] - at for event, at in begun_at.items() if at >= counted_from and event in ended_at]


def quantiles_of_ns(durations: Sequence[int]) -> Quantiles:
    """Summarise durations in nanoseconds."""
    return Quantiles(
        p50=percentile(durations, 50) / _NS_PER_MS,
        p99=percentile(durations, 99) / _NS_PER_MS,
        max=max(durations) / _NS_PER_MS,
    )
