"""A small ERP: confirms orders in transactions of every awkward kind and emits an event in each.

It must touch the outbox through ``outbox.emit`` only: it plays the application, and its business tables are
the truth that the judge believes.
"""

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from sandbox.erp_plan import PlannedTransaction, Shape, customer_names, plan_transactions

EVENT_TYPE = "order.confirmed"
CURRENCY = "EUR"

_INSERT_CUSTOMERS = "INSERT INTO erp.customer (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING"
_INSERT_ACTIVITY = "INSERT INTO erp.activity (customer, note) VALUES ($1, 'order taken by telephone')"
_LOCK_CUSTOMER = """
    UPDATE erp.customer SET revision = revision + 1, orders = orders + 1, open_amount = open_amount + $2
    WHERE name = $1
    RETURNING revision, nextval('erp.order_number') AS order_number, clock_timestamp() AS confirmed_at
"""
_INSERT_ORDER = """
    INSERT INTO erp.sales_order (order_ref, customer, status, revision, amount, currency)
    VALUES ($1, $2, 'confirmed', $3, $4, $5)
"""
_EMIT = "SELECT outbox.emit(type => $1, key => $2, payload => $3::json)"


@dataclass(frozen=True, slots=True)
class ErpTotals:
    """How many transactions committed an order, and how many were rolled back after they had emitted."""

    committed: int
    rolled_back: int


async def run_erp(  # noqa: PLR0913 - every property of the workload is a parameter
    pg_url: str,
    *,
    orders: int,
    keys: int,
    writers: int,
    seed: int,
    rolled_back_share: float = 0.05,
    slow_share: float = 0.02,
    rate_per_s: float | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    stop: asyncio.Event | None = None,
) -> ErpTotals:
    """Confirm ``orders`` orders of ``keys`` customers over ``writers`` connections; fewer if ``stop`` is set.

    ``rate_per_s`` spreads the transactions over time. ``on_progress`` gets the totals so far, committed and
    rolled back, after each transaction.
    """
    planned = plan_transactions(
        orders=orders, keys=keys, seed=seed, rolled_back_share=rolled_back_share, slow_share=slow_share
    )
    await install_erp(pg_url, keys=keys)
    workload = _Workload(planned, rate_per_s, on_progress, stop or asyncio.Event())
    async with asyncio.TaskGroup() as tasks:
        for _ in range(writers):
            tasks.create_task(workload.write(pg_url))
    return ErpTotals(workload.committed, workload.rolled_back)


async def install_erp(pg_url: str, *, keys: int) -> None:
    """Create the ERP's tables and its customers where they are missing."""
    schema = Path(__file__).with_name("erp.sql").read_text(encoding="utf-8")
    connection = await asyncpg.connect(pg_url)
    try:
        await connection.execute(schema)
        await connection.execute(_INSERT_CUSTOMERS, customer_names(keys))
    finally:
        await connection.close()


class _Workload:
    """The planned transactions, shared by the writers."""

    def __init__(
        self,
        planned: list[PlannedTransaction],
        rate_per_s: float | None,
        on_progress: Callable[[int, int], None] | None,
        stop: asyncio.Event,
    ) -> None:
        self.committed = 0
        self.rolled_back = 0
        self._turns: Iterator[tuple[int, PlannedTransaction]] = enumerate(planned)
        self._interval_seconds = 1 / rate_per_s if rate_per_s else 0.0
        self._on_progress = on_progress
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()

    async def write(self, pg_url: str) -> None:
        connection = await asyncpg.connect(pg_url)
        try:
            for turn, planned in self._turns:
                await self._pause_until(self._started_at + turn * self._interval_seconds)
                if self._stop.is_set():
                    return
                await self._run(connection, planned)
                if self._on_progress is not None:
                    self._on_progress(self.committed, self.rolled_back)
        finally:
            await connection.close()

    async def _run(self, connection: asyncpg.Connection, planned: PlannedTransaction) -> None:
        transaction = connection.transaction()
        await transaction.start()
        await self._work(connection, planned)
        await self._pause(planned.hold_ms)
        if planned.is_rolled_back:
            await transaction.rollback()
            self.rolled_back += 1
        else:
            await transaction.commit()
            self.committed += 1

    async def _work(self, connection: asyncpg.Connection, planned: PlannedTransaction) -> None:
        match planned.shape:
            case Shape.PLAIN:
                await _confirm(connection, planned)
            case Shape.SAVEPOINT:
                undone = connection.transaction()
                await undone.start()
                await _confirm(connection, planned)
                await undone.rollback()
                async with connection.transaction():
                    await _confirm(connection, planned)
            case Shape.EARLY_XID:
                await connection.execute(_INSERT_ACTIVITY, planned.customer)
                await self._pause(planned.early_ms)
                await _confirm(connection, planned)

    async def _pause(self, pause_ms: int) -> None:
        await self._pause_until(self._loop.time() + pause_ms / 1000)

    async def _pause_until(self, loop_time: float) -> None:
        if loop_time <= self._loop.time():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(loop_time):
                await self._stop.wait()


async def _confirm(connection: asyncpg.Connection, planned: PlannedTransaction) -> None:
    # The customer is locked before the event draws its id, so a customer's ids follow its commits.
    locked = await connection.fetchrow(_LOCK_CUSTOMER, planned.customer, planned.amount)
    if locked is None:
        raise LookupError(f"customer {planned.customer} is not in erp.customer")
    order_ref = f"SO-{locked['order_number']:05d}"
    revision = locked["revision"]
    await connection.execute(_INSERT_ORDER, order_ref, planned.customer, revision, planned.amount, CURRENCY)
    payload = {
        "order_ref": order_ref,
        "customer": planned.customer,
        "revision": revision,
        "amount": str(planned.amount),
        "currency": CURRENCY,
        "lines": [
            {"article": line.article, "quantity": line.quantity, "unit_price": str(line.unit_price)}
            for line in planned.lines
        ],
        "confirmed_at": locked["confirmed_at"].isoformat(),
    }
    await connection.execute(_EMIT, EVENT_TYPE, planned.customer, json.dumps(payload))


def main() -> int:
    """Run the ERP against a database with the outbox installed, and print its totals as JSON."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.erp", description=main.__doc__)
    parser.add_argument("--pg-url", required=True, help="the ERP's database")
    parser.add_argument("--orders", type=int, default=2000, help="orders to commit")
    parser.add_argument("--keys", type=int, default=100, help="customers; an event's key is its customer")
    parser.add_argument("--writers", type=int, default=8, help="concurrent connections")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rolled-back-share", type=float, default=0.05)
    parser.add_argument("--slow-share", type=float, default=0.02, help="held open 50-1500 ms before commit")
    parser.add_argument("--rate-per-s", type=float, default=None, help="transactions; default: no limit")
    options = vars(parser.parse_args())
    totals = asyncio.run(run_erp(options.pop("pg_url"), **options))
    print(json.dumps({"committed": totals.committed, "rolled_back": totals.rolled_back}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
