"""Whether a deep backlog leaves as fast as a shallow one."""

import shutil
import tempfile
import time
from functools import partial
from typing import NamedTuple

from bench.backlog import fill
from bench.bench import Bench, Work
from bench.contenders import OUTBOX_TABLE
from bench.observe import watch
from bench.plan import Plan, in_turn
from bench.records import Depth
from bench.stand import Database
from outbox.model.cursor import Cursor, PageLimits
from outbox.postgres.connection import PostgresServer
from outbox.postgres.outbox_store import OutboxStore
from sandbox.errors import SandboxError

_STOP_SECONDS = 60.0
_DRAIN_SECONDS = 600.0
_LOADED_PER_SECOND = 30_000
_DRAINED_PER_SECOND = 12_000
_OVERHEAD_SECONDS = 4.0

# Heap, indexes, write-ahead log, and room for everybody else.
_DISK_BYTES_PER_PAYLOAD_BYTE = 3

# Of pages, which finding a batch does not read.
_LIMITS = PageLimits(max_events=1, max_page_bytes=1, max_payload_bytes=1)

_PREVIOUS = "select previous::text from outbox.cursor"
# What the relay has passed: the batches before, and of the open one what is below the position. The cursor is saved
# when the relay stops. Both parts are ranges of an index, whatever the size of the table.
_PASSED = """
    select (select count(*) from outbox.event e
             where e.id <= c.position
               and pg_visible_in_snapshot(e.tx, c.current) and not pg_visible_in_snapshot(e.tx, c.previous))
         + (select count(*) from outbox.event e
             where e.tx < pg_snapshot_xmax(c.previous) and pg_visible_in_snapshot(e.tx, c.previous))
      from outbox.cursor c
"""


class DepthWork(NamedTuple):
    """One drain to come: the first events of what waits."""

    round: int
    waiting: int
    events: int
    is_deep: bool

    def work(self) -> Work:
        """Return its name and a guess of its length."""
        loading = 0.0 if self.is_deep else self.waiting / _LOADED_PER_SECOND
        seconds = _OVERHEAD_SECONDS + loading + self.events / _DRAINED_PER_SECOND
        return Work(f"depth {self.round}, {self.waiting:,} waiting", seconds)


def loading(plan: Plan) -> Work:
    """Return the work that comes first."""
    return Work(f"loading {plan.deep_events:,} events", plan.deep_events / _LOADED_PER_SECOND)


def planned(plan: Plan) -> list[DepthWork]:
    """Return every drain in its order. What one round has drained of the deep backlog is not there in the next."""
    works = []
    for number in range(1, plan.rounds + 1):
        shallow = DepthWork(number, plan.events, plan.events, is_deep=False)
        deep = DepthWork(number, plan.deep_events, plan.events, is_deep=True)
        works += in_turn((shallow, deep), number)
    return works


def require_room(plan: Plan) -> None:
    """Complain before anything is written.

    Raises:
        SandboxError: the disk is too small for the deep backlog.
    """
    needed = plan.deep_events * plan.payload_bytes * _DISK_BYTES_PER_PAYLOAD_BYTE
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < needed:
        raise SandboxError(
            f"{plan.deep_events:,} events need about {needed / 1e9:.0f} GB of disk, {free / 1e9:.0f} GB are free",
            next_step="name a larger disk in TMPDIR, or take a smaller --deep-events",
        )


async def run(bench: Bench) -> None:
    """Measure all of them."""
    plan = bench.plan
    async with bench.stand.database() as deep, bench.stand.database() as shallow:

        async def load() -> str:
            begun = time.monotonic()
            await _fill(bench, deep, plan.deep_events)
            return f"{plan.deep_events / (time.monotonic() - begun):,.0f} events/s"

        await bench.measure(loading(plan), load)
        for work in planned(plan):
            database = deep if work.is_deep else shallow
            await bench.measure(work.work(), partial(_measure, bench, database, work))


async def _begin(database: Database) -> float:
    """Find the batch as the relay does, from the cursor that it has saved, and return how long that took."""
    cursor = Cursor(str(await database.value(_PREVIOUS)))
    async with OutboxStore(PostgresServer(database.url), _LIMITS).session() as session:
        begun = time.monotonic()
        await session.begin_batch(cursor)
        return time.monotonic() - begun


async def _fill(bench: Bench, database: Database, events: int) -> None:
    await fill(
        database,
        OUTBOX_TABLE,
        events=events,
        per_transaction=bench.plan.events_per_transaction,
        payload_bytes=bench.plan.payload_bytes,
    )
    async with database.connection() as connection:
        # What autovacuum begins minutes after such a load, and would be at while the deep backlog is measured.
        await connection.execute("vacuum (analyze) outbox.event")
        await connection.execute("checkpoint")


async def _measure(bench: Bench, database: Database, work: DepthWork) -> str:
    queue = bench.stand.queue
    await queue.renew()
    if not work.is_deep:
        await _fill(bench, database, work.waiting)
    passed_before = await database.number(_PASSED)
    waiting = work.waiting - passed_before if work.is_deep else work.waiting
    begin_batch_seconds = await _begin(database)
    relay = bench.contenders.relay(database)
    try:
        await relay.start()
        seen = await watch(queue.count, relay.pid, until_arrived=work.events, within_seconds=_DRAIN_SECONDS)
        await relay.stop(within_seconds=_STOP_SECONDS)
    finally:
        await relay.end()
    arrived = await queue.count()
    bench.findings.expect(work.work().name, committed=await database.number(_PASSED) - passed_before, arrived=arrived)
    record = Depth(
        round=work.round,
        waiting=waiting,
        events=work.events,
        arrived=arrived,
        events_per_second=seen.events_per_second,
        begin_batch_seconds=begin_batch_seconds,
        first_message_seconds=seen.first_message_seconds,
    )
    bench.findings.depths.append(record)
    return f"{record.events_per_second:,.0f} events/s, {record.begin_batch_seconds:.2f} s to find the batch"
