"""What is sent again after `kill -9` of the relay: killed at random moments under a fixed load, and started again."""

import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from bench.bench import Bench, Work, start_ready
from bench.contenders import OUTBOX_TABLE
from bench.plan import Contender, Plan
from bench.records import Crash
from bench.stamps import count_stamps, read_stamps
from bench.stand import Database
from bench.waiting import becomes_true, rest

# Longer than the cursor's interval, so that a kill meets every moment of it.
_LIFE_SECONDS = (0.0, 2.0)
# Until a new process leads and publishes.
_START_SECONDS = 1.0
_COMMITTER_SECONDS = 60.0
_DELIVERY_SECONDS = 60.0
_OVERHEAD_SECONDS = 6.0


class CrashWork(NamedTuple):
    """One load to come."""

    rate: int
    kills: int

    def work(self) -> Work:
        """Return its name and a guess of its length."""
        return Work(f"kill -9, {self.rate:,} events/s, {self.kills} times", self.seconds + _OVERHEAD_SECONDS)

    @property
    def seconds(self) -> float:
        """How long events are committed."""
        return self.kills * (sum(_LIFE_SECONDS) / 2 + _START_SECONDS)


def planned(plan: Plan) -> list[CrashWork]:
    """Return every load in its order."""
    return [CrashWork(rate, max(int(plan.seconds), 1)) for rate in plan.rates]


async def run(bench: Bench) -> None:
    """Measure all of them."""
    async with bench.stand.database() as database:
        for work in planned(bench.plan):
            await bench.measure(work.work(), partial(_measure, bench, database, work))


async def _measure(bench: Bench, database: Database, work: CrashWork) -> str:
    await bench.stand.queue.renew()
    commits = bench.stand.folder / f"crash-commits-{work.rate}"
    deliveries = bench.stand.folder / f"crash-deliveries-{work.rate}"
    relay, consumer = bench.contenders.relay(database), bench.contenders.consumer(deliveries)
    committer = bench.contenders.committer(database, Contender.RELAY, commits, work.rate, work.seconds)

    async def delivered() -> int:
        return count_stamps(deliveries)

    try:
        await consumer.start()
        await start_ready(relay, database, OUTBOX_TABLE, delivered)
        await committer.start()
        for _ in range(work.kills):
            before = await delivered()
            # Its life begins with its first message: a relay that has not published has nothing to repeat.
            await becomes_true(partial(_has_grown, delivered, before), within_seconds=_DELIVERY_SECONDS)
            await rest(random.uniform(*_LIFE_SECONDS))
            await relay.kill()
            await relay.start()
        await committer.wait(within_seconds=_COMMITTER_SECONDS + work.seconds)
        wanted = {sequence for sequence, _ in read_stamps(commits)}

        async def is_over() -> bool:
            return wanted <= {sequence for sequence, _ in read_stamps(deliveries)}

        await becomes_true(is_over, within_seconds=_DELIVERY_SECONDS)
    finally:
        for program in (committer, relay, consumer):
            await program.end()
    arrived = [sequence for sequence, _ in read_stamps(deliveries) if sequence in wanted]
    record = Crash(
        events_per_second=work.rate,
        kills=work.kills,
        committed=len(wanted),
        lost=len(wanted) - len(set(arrived)),
        repeated=len(arrived) - len(set(arrived)),
    )
    bench.findings.crashes.append(record)
    if record.lost:
        bench.findings.wrong.append(f"{work.work().name}: of {record.committed} events {record.lost} were lost")
    return f"{record.repeated / record.kills:.0f} events sent again for each kill"


async def _has_grown(count: Callable[[], Awaitable[int]], before: int) -> bool:
    return await count() > before
