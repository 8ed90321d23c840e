"""Windows of periods that nobody would think of follow each other all the same."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from outbox.model.reconciliation import Reconciliation, Schedule, Verdict
from outbox.postgres.reconcile import ReconcileStore
from tests.kit.database import Database


async def test_a_period_that_binary_numbers_miss_goes_on_from_window_to_window(database: Database) -> None:
    schedule = Schedule(1.1 * 3600, 3600.0, 60.0)
    await database.value(
        "insert into outbox.reconciliation (flow, since, until, leased_until, ended_at, verdict, result)"
        " select 'orders', u - interval '1 hour', u, now(), now(), 'agrees', '{}'"
        " from to_timestamp(floor(extract(epoch from now()) / 3960) * 3960 - 20 * 3960) u returning id"
    )
    ends = []
    async with ReconcileStore(database.server).session() as session:
        while (task := await session.begin("orders", schedule, 60)) is not None:
            ends.append(task.window.until)
            await session.end(task, Reconciliation("orders", task.window, Verdict.AGREES, [], {}))
    assert len(ends) == 7
    assert {later - earlier for earlier, later in pairwise(ends)} == {timedelta(seconds=3960)}
