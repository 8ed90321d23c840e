"""What the outbox costs the ERP: its transactions per second against those with a plain table."""

from functools import partial
from typing import NamedTuple

from bench.bench import Bench, Work, start_ready
from bench.contenders import OUTBOX_TABLE
from bench.erp_load import press
from bench.plan import Condition, Plan, in_turn
from bench.records import Erp, ErpTable
from bench.stand import Database
from bench.waiting import becomes_true

_CATCH_UP_SECONDS = 300.0
_STOP_SECONDS = 25.0
_OVERHEAD_SECONDS = 2.0
_RELAY_SECONDS = 6.0


class ErpWork(NamedTuple):
    """One load to come."""

    round: int
    table: ErpTable
    condition: Condition
    seconds: float

    def work(self) -> Work:
        """Return its name and a guess of its length."""
        relay = _RELAY_SECONDS if self.table is ErpTable.OUTBOX_RELAYED else 0.0
        return Work(f"ERP {self.round}, {self.table}, {self.condition}", self.seconds + _OVERHEAD_SECONDS + relay)


def planned(plan: Plan) -> list[ErpWork]:
    """Return every load in its order: in each round the tables take turns."""
    return [
        ErpWork(number, table, condition, plan.seconds)
        for number in range(1, plan.rounds + 1)
        for condition in (Condition.QUIET, Condition.XID)
        for table in in_turn(ErpTable, number)
    ]


async def run(bench: Bench) -> None:
    """Measure all of them."""
    async with bench.stand.database() as database:
        for work in planned(bench.plan):
            await bench.measure(work.work(), partial(_measure, bench, database, work))


async def _measure(bench: Bench, database: Database, work: ErpWork) -> str:
    await bench.stand.queue.renew()
    async with database.connection() as connection:
        await connection.execute("call bench.reset_erp()")
        await connection.execute("vacuum (analyze) bench.account")
        await connection.execute("checkpoint")
    async with database.stranger(work.condition):
        if work.table is ErpTable.OUTBOX_RELAYED:
            record = await _measure_relayed(bench, database, work)
        else:
            is_outbox = work.table is ErpTable.OUTBOX
            load = await press(bench.stand, database, is_outbox=is_outbox, seconds=work.seconds)
            record = Erp(
                round=work.round,
                table=work.table,
                condition=work.condition,
                transactions=load.transactions,
                per_second=load.per_second,
            )
    bench.findings.erps.append(record)
    return f"{record.per_second:,.0f} transactions/s"


async def _measure_relayed(bench: Bench, database: Database, work: ErpWork) -> Erp:
    queue = bench.stand.queue
    relay = bench.contenders.relay(database)
    try:
        await start_ready(relay, database, OUTBOX_TABLE, queue.count)
        load = await press(bench.stand, database, is_outbox=True, seconds=work.seconds)
        committed = await database.number("select count(*) from outbox.event")

        async def is_published() -> bool:
            return await queue.count() >= committed

        await becomes_true(is_published, within_seconds=_CATCH_UP_SECONDS)
        await relay.stop(within_seconds=_STOP_SECONDS)
    finally:
        await relay.end()
    arrived = await queue.count()
    bench.findings.expect(work.work().name, committed=committed, arrived=arrived)
    return Erp(
        round=work.round,
        table=work.table,
        condition=work.condition,
        transactions=load.transactions,
        per_second=load.per_second,
        arrived=arrived,
    )
