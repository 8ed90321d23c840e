"""The ERP commits exactly what it says, awkwardly, and emits one event for each order that it committed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import asyncpg
import pytest

from sandbox.checker import LedgerLine, judge, read_committed
from sandbox.erp import run_erp
from sandbox.erp_plan import Shape, plan_transactions


class Database(Protocol):
    @property
    def url(self) -> str: ...


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.url)
    yield connection
    await connection.close()


async def test_exactly_the_orders_asked_for_are_committed(database: Database, connection: asyncpg.Connection) -> None:
    totals = await run_erp(database.url, orders=120, keys=5, writers=6, seed=1, slow_share=0)
    assert (totals.committed, totals.rolled_back) == (120, 6)
    assert await connection.fetchval("SELECT count(*) FROM erp.sales_order") == 120
    assert await connection.fetchval("SELECT sum(orders) FROM erp.customer") == 120


async def test_each_committed_order_has_one_event_and_no_other_order_has_any(
    database: Database, connection: asyncpg.Connection
) -> None:
    await run_erp(database.url, orders=150, keys=5, writers=6, seed=2, rolled_back_share=0.2, slow_share=0.01)
    rows = await connection.fetch(
        """
        SELECT e.type, e.key, e.payload ->> 'order_ref' AS order_ref, e.payload ->> 'customer' AS customer,
            (e.payload ->> 'revision')::int AS revision, (e.payload ->> 'amount')::numeric AS amount
        FROM outbox.event AS e ORDER BY e.id
        """
    )
    assert {row["type"] for row in rows} == {"order.confirmed"}
    assert all(row["key"] == row["customer"] for row in rows)
    # As the ERP locks the customer first, even the ids of the events are in order for each customer.
    emitted = [LedgerLine(row["order_ref"], row["key"], row["revision"], row["amount"]) for row in rows]
    verdict = judge(await read_committed(database.url), emitted)
    assert verdict.committed == 150
    assert verdict.is_clean, verdict


async def test_revisions_of_a_customer_count_without_a_gap(database: Database, connection: asyncpg.Connection) -> None:
    await run_erp(database.url, orders=80, keys=4, writers=8, seed=3, rolled_back_share=0.3, slow_share=0)
    gaps = await connection.fetchval(
        """
        SELECT count(*) FROM (
            SELECT revision, row_number() OVER (PARTITION BY customer ORDER BY revision) AS expected
            FROM erp.sales_order
        ) AS counted WHERE revision <> expected
        """
    )
    assert gaps == 0


async def test_some_transactions_draw_their_id_long_before_their_event(
    database: Database, connection: asyncpg.Connection
) -> None:
    await run_erp(database.url, orders=200, keys=10, writers=8, seed=4, slow_share=0)
    overtaken = await connection.fetchval(
        """
        SELECT count(*) FROM (SELECT tx, lag(tx) OVER (ORDER BY id) AS before FROM outbox.event) AS emitted
        WHERE tx < before
        """
    )
    assert overtaken > 0


async def test_a_second_run_adds_to_the_first(database: Database) -> None:
    for seed in (5, 6):
        await run_erp(database.url, orders=20, keys=3, writers=2, seed=seed, slow_share=0)
    committed = await read_committed(database.url)
    assert len({order.order_ref for order in committed}) == 40


async def test_a_stop_ends_the_run_early_with_true_totals(database: Database, connection: asyncpg.Connection) -> None:
    stop = asyncio.Event()

    def stop_after_ten(committed: int, _: int) -> None:
        if committed == 10:
            stop.set()

    totals = await run_erp(
        database.url, orders=10_000, keys=5, writers=2, seed=7, on_progress=stop_after_ten, stop=stop
    )
    assert 10 <= totals.committed <= 12
    assert await connection.fetchval("SELECT count(*) FROM erp.sales_order") == totals.committed


async def test_a_rate_spreads_the_work(database: Database) -> None:
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    await run_erp(database.url, orders=21, keys=5, writers=4, seed=8, rolled_back_share=0, slow_share=0, rate_per_s=100)
    assert loop.time() - started_at >= 0.2


async def test_progress_ends_at_the_totals(database: Database) -> None:
    seen: list[tuple[int, int]] = []
    totals = await run_erp(
        database.url,
        orders=30,
        keys=5,
        writers=3,
        seed=9,
        rolled_back_share=0.25,
        slow_share=0,
        on_progress=lambda committed, rolled_back: seen.append((committed, rolled_back)),
    )
    assert len(seen) == 40
    assert seen[-1] == (totals.committed, totals.rolled_back) == (30, 10)


def test_a_plan_is_the_same_for_the_same_seed_and_has_every_kind_of_transaction() -> None:
    first, second = (
        plan_transactions(orders=500, keys=20, seed=1, rolled_back_share=0.05, slow_share=0.02) for _ in range(2)
    )
    assert first == second
    assert sum(not planned.is_rolled_back for planned in first) == 500
    assert {planned.shape for planned in first} == set(Shape)
    slow_ms = [planned.hold_ms for planned in first if planned.hold_ms]
    assert slow_ms
    assert all(50 <= hold_ms <= 1500 for hold_ms in slow_ms)
    assert {planned.customer for planned in first} == {f"C-{number:03d}" for number in range(1, 21)}
