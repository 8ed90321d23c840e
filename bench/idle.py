"""What a relay costs that has nothing to do."""

import time
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg

from bench.bench import Bench, Work, start_ready
from bench.contenders import OUTBOX_TABLE
from bench.observe import usage_of
from bench.plan import Condition, Plan
from bench.records import Idle
from bench.stand import Database
from bench.waiting import rest
from sandbox.demo_programs import ProgramFailedError

_STOP_SECONDS = 25.0
# Until the poll has slowed down, and the sessions have told the statistics what they did before.
_CALM_SECONDS = 1.5
# Sessions tell their statistics at most once a second; asked from another database, so that asking is not counted.
_TRANSACTIONS = "select xact_commit + xact_rollback from pg_stat_database where datname = $1"


class IdleWork(NamedTuple):
    """One quiet time to come."""

    round: int
    condition: Condition
    seconds: float

    def work(self) -> Work:
        """Return its name and a guess of its length."""
        return Work(f"idle {self.round}, {self.condition}", self.seconds + _CALM_SECONDS + 2.0)


def planned(plan: Plan) -> list[IdleWork]:
    """Return them in their order; nothing else runs, so one round says it."""
    return [IdleWork(1, condition, plan.idle_seconds) for condition in (Condition.QUIET, Condition.XID)]


async def run(bench: Bench) -> None:
    """Measure all of them."""
    async with bench.stand.database() as database:
        for work in planned(bench.plan):
            await bench.measure(work.work(), partial(_measure, bench, database, work))


async def _measure(bench: Bench, database: Database, work: IdleWork) -> str:
    await bench.stand.queue.renew()
    relay = bench.contenders.relay(database)
    admin = await asyncpg.connect(bench.stand.servers.pg_url)
    name = urlsplit(database.url).path.lstrip("/")
    try:
        async with database.stranger(work.condition):
            await start_ready(relay, database, OUTBOX_TABLE, bench.stand.queue.count)
            await rest(_CALM_SECONDS)
            begun, before, before_count = (
                time.monotonic(),
                usage_of(relay.pid),
                await admin.fetchval(_TRANSACTIONS, name),
            )
            await rest(work.seconds)
            seconds, after = time.monotonic() - begun, usage_of(relay.pid)
            count = await admin.fetchval(_TRANSACTIONS, name) - before_count
        if before is None or after is None:
            raise ProgramFailedError("the relay ended while it was idle", relay.log_tail())
        await relay.stop(within_seconds=_STOP_SECONDS)
    finally:
        await relay.end()
        await admin.close()
    record = Idle(
        round=work.round,
        condition=work.condition,
        seconds=seconds,
        cpu_percent_of_a_core=(after.cpu_seconds - before.cpu_seconds) / seconds * 100,
        statements_per_second=count / seconds,
        resident_mb=after.resident_mb,
    )
    bench.findings.idles.append(record)
    return f"{record.cpu_percent_of_a_core:.2f} % of a core, {record.statements_per_second:.1f} statements/s"
