"""How fast a backlog leaves, what an event costs, how much memory it takes, what it leaves behind in the database."""

import time
from functools import partial
from typing import NamedTuple

from bench.backlog import fill
from bench.bench import Bench, Work
from bench.contenders import TABLES
from bench.observe import watch
from bench.plan import Condition, Contender, Plan, in_turn
from bench.records import Drain
from bench.stand import Database
from bench.waiting import becomes_true, rest

_EXIT_SECONDS = 60.0
# Slower than this is not slow, it hangs.
_SLOWEST_PER_SECOND = 200
_START_SECONDS = 60.0
_STATISTICS_SECONDS = 10.0
# Before, a process of its own collected them, and wrote them down twice a second.
_TOLD_AT_ONCE_SINCE = 150_000
_COLLECTED_SECONDS = 1.0

# Guesses, for the time left.
_EXPECTED_PER_SECOND = {
    Contender.LIMIT: 30_000,
    Contender.RELAY: 12_000,
    Contender.PLAIN: 5_000,
    Contender.SKIP_LOCKED: 5_000,
}
_LOADED_PER_SECOND = 30_000
_OVERHEAD_SECONDS = 3.0

# A partitioned table has no versions of its own, its partitions have.
_VERSIONS = """
    select coalesce(sum(n_tup_upd + n_tup_del), 0)::bigint as made, coalesce(sum(n_dead_tup), 0)::bigint as remaining
      from pg_stat_user_tables
     where relid = $1::text::regclass or relid in (select t.relid from pg_partition_tree($1::text::regclass) t)
"""
_SERVER_VERSION = "select current_setting('server_version_num')::integer"
_OTHER_SESSIONS = """
    select count(*)
      from pg_stat_activity
     where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
"""
# Both name every table in full: there is nothing to be mistaken for.
_LAST_ID = {
    "outbox.event": "select coalesce(max(id), 0) from outbox.event",
    "rival.event": "select coalesce(max(id), 0) from rival.event",
}
_IDS_AFTER = {
    "outbox.event": "select event_id::text from outbox.event where id > $1",
    "rival.event": "select event_id::text from rival.event where id > $1",
}


class DrainWork(NamedTuple):
    """One drain to come. Round 0 warms up, and is the one in which every message is compared by its id."""

    round: int
    contender: Contender
    condition: Condition
    events: int

    def work(self) -> Work:
        """Return its name and a guess of its length."""
        filling = self.events / _LOADED_PER_SECOND if self.contender in TABLES else 0.0
        name = "warm-up" if self.round == 0 else f"drain {self.round}"
        condition = "" if self.condition is Condition.QUIET else f", {self.condition}"
        return Work(
            f"{name}, {self.contender}{condition}",
            _OVERHEAD_SECONDS + filling + self.events / _EXPECTED_PER_SECOND[self.contender],
        )


def planned(plan: Plan, present: list[Contender]) -> list[DrainWork]:
    """Return every drain in its order: in each round all take turns."""
    disturbed = [contender for contender in present if contender in (Contender.RELAY, Contender.SKIP_LOCKED)]
    works = [DrainWork(0, contender, Condition.QUIET, plan.warm_up_events) for contender in present]
    for number in range(1, plan.rounds + 1):
        works += [DrainWork(number, one, Condition.QUIET, plan.events) for one in in_turn(present, number)]
        works += [DrainWork(number, one, Condition.XID, plan.events) for one in in_turn(disturbed, number)]
    return works


async def run(bench: Bench) -> None:
    """Measure all of them."""
    async with bench.stand.database() as database:
        for drain in planned(bench.plan, bench.present(Contender)):
            await bench.measure(drain.work(), partial(_measure, bench, database, drain))


async def _measure(bench: Bench, database: Database, drain: DrainWork) -> str:
    table = TABLES.get(drain.contender)
    await bench.stand.queue.renew()
    if table is not None:
        await _clean(database, table)
    async with database.stranger(drain.condition):
        last_id = await database.number(_LAST_ID[table]) if table is not None else 0
        if table is not None:
            await fill(
                database,
                table,
                events=drain.events,
                per_transaction=bench.plan.events_per_transaction,
                payload_bytes=bench.plan.payload_bytes,
            )
        record = await _drain(bench, database, drain, table)
    if drain.round == 0:
        await _compare_ids(bench, database, drain, table, last_id)
    else:
        bench.findings.drains.append(record)
        bench.findings.expect(drain.work().name, committed=drain.events, arrived=record.arrived)
    return f"{record.events_per_second:,.0f} events/s, {record.cpu_microseconds_per_event:.1f} µs of CPU each"


async def _drain(bench: Bench, database: Database, drain: DrainWork, table: str | None) -> Drain:
    before = await _versions(database, table)
    program = bench.contenders.draining(drain.contender, database, drain.events)
    begun = time.monotonic()
    await program.start()
    try:
        seen = await watch(
            bench.stand.queue.count,
            program.pid,
            until_arrived=drain.events,
            within_seconds=_START_SECONDS + drain.events / _SLOWEST_PER_SECOND,
        )
        await program.wait(within_seconds=_EXIT_SECONDS)
    finally:
        await program.end()
    process_seconds = time.monotonic() - begun
    await _until_statistics_are_told(database, drain.condition)
    after = await _versions(database, table)
    return Drain(
        round=drain.round,
        contender=drain.contender,
        condition=drain.condition,
        events=drain.events,
        # Looked at again: what comes after the last expected message is a repeat.
        arrived=await bench.stand.queue.count(),
        events_per_second=seen.events_per_second,
        cpu_microseconds_per_event=seen.cpu_microseconds_per_event,
        peak_resident_mb=seen.peak_resident_mb,
        process_seconds=process_seconds,
        dead_made=after[0] - before[0] if before is not None and after is not None else None,
        dead_left=after[1] if after is not None else None,
    )


async def _clean(database: Database, table: str) -> None:
    """Give everybody a table that VACUUM has just been at."""
    async with database.connection() as connection:
        await connection.execute(f"vacuum (analyze) {table}")


async def _versions(database: Database, table: str | None) -> tuple[int, int] | None:
    if table is None:
        return None
    async with database.connection() as connection:
        # An aggregate: there is always a row, and only one.
        (row,) = await connection.fetch(_VERSIONS, table)
    return int(row["made"]), int(row["remaining"])


async def _until_statistics_are_told(database: Database, condition: Condition) -> None:
    """Wait until the contender's sessions are gone: they tell what they did before they are."""
    strangers = 0 if condition is Condition.QUIET else 1

    async def are_gone() -> bool:
        return await database.number(_OTHER_SESSIONS) <= strangers

    await becomes_true(are_gone, within_seconds=_STATISTICS_SECONDS)
    if await database.number(_SERVER_VERSION) < _TOLD_AT_ONCE_SINCE:
        await rest(_COLLECTED_SECONDS)


async def _compare_ids(bench: Bench, database: Database, drain: DrainWork, table: str | None, last_id: int) -> None:
    taken = await bench.stand.queue.take_ids()
    if table is None:
        wanted, missing, strange = drain.events, drain.events - len(set(taken)), 0
    else:
        async with database.connection() as connection:
            committed = {row["event_id"] for row in await connection.fetch(_IDS_AFTER[table], last_id)}
        wanted, missing, strange = len(committed), len(committed - set(taken)), len(set(taken) - committed)
    repeated = len(taken) - len(set(taken))
    if missing or strange or repeated:
        bench.findings.wrong.append(
            f"{drain.work().name}: of {wanted} events {missing} were lost, {repeated} repeated,"
            f" {strange} never committed"
        )
