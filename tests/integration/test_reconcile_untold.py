"""A target that never tells its totals holds up nobody, and what is given up for it is seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from outbox.flow.reconciler import Owner, Reconciler
from outbox.model.lifecycle import Lifecycle
from outbox.model.outcome import NotTold
from outbox.model.reconcile_events import TotalsGivenUp
from outbox.model.reconciliation import Reconciliation, Schedule, Subject, Verdict
from outbox.model.totals import TargetPage, Window
from outbox.postgres.alerts import AlertStore
from outbox.postgres.reconcile import ReconcileSession, ReconcileStore, window_before
from outbox.supervisor import Pulse, Stop
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.verbs import Verbs

HOUR = Schedule(3600.0, 3600.0, 60.0)
_BEGUN = (
    "insert into outbox.reconciliation (flow, since, until, leased_until, epoch)"
    " values ('orders', $1::timestamptz - interval '1 hour', $1, now() + $2::text::interval, 72) returning id"
)
_OVER = "update outbox.reconciliation set leased_until = now() - interval '1 second' where until = $1 returning id"


@pytest.fixture
async def session(database: Database) -> AsyncIterator[ReconcileSession]:
    async with ReconcileStore(database.server).session() as ready:
        yield ready


async def newest(session: ReconcileSession) -> datetime:
    return window_before(await session.now(), HOUR).until


def agreed(window: Window) -> Reconciliation:
    return Reconciliation("orders", window, Verdict.AGREES, [], {})


async def test_a_window_that_is_not_told_holds_up_no_later_one(session: ReconcileSession, database: Database) -> None:
    end = await newest(session)
    await database.value(_BEGUN, end - timedelta(hours=2), "5 minutes")
    begun = [await session.begin("orders", HOUR, 60) for _ in range(3)]
    assert [task and task.window.until for task in begun] == [end - timedelta(hours=1), end, None]
    await database.value(_OVER, end - timedelta(hours=2))
    again = await session.begin("orders", HOUR, 60)
    assert again is not None
    assert (again.window.until, again.epoch) == (end - timedelta(hours=2), 73)
    assert await session.begin("orders", HOUR, 60) is None
    assert await session.end(again, agreed(again.window))


async def test_what_is_asked_again_and_again_comes_after_what_was_never_asked(
    session: ReconcileSession, database: Database
) -> None:
    end = await newest(session)
    for hours in (3, 2, 1):
        await database.value(_BEGUN, end - timedelta(hours=hours), f"-{hours} minutes")
    begun = [await session.begin("orders", HOUR, 60) for _ in range(5)]
    ends = [task and task.window.until for task in begun]
    assert ends == [end, *(end - timedelta(hours=hours) for hours in (3, 2, 1)), None]


async def test_a_window_that_is_given_up_is_stored_and_seen(
    session: ReconcileSession, database: Database, cli: Cli
) -> None:
    end = await newest(session)
    held, old, within = (end - timedelta(hours=hours) for hours in (8, 7, 6))
    for until, lease in ((held, "5 minutes"), (old, "-1 minute"), (within, "-1 minute")):
        await database.value(_BEGUN, until, lease)
    told: list[Lifecycle] = []
    stop = Stop()

    def report(event: Lifecycle) -> None:
        told.append(event)
        stop.set()

    class Silent:
        async def totals(self, window: Window, page: str | None, *, leave_by: float) -> TargetPage | NotTold | None:
            raise AssertionError((window, page, leave_by))

    store, owner = ReconcileStore(database.server), Owner("sales@example.com", "docs/orders.md")
    await Reconciler(Subject("orders", ()), HOUR, store, Silent(), owner, report).run(stop, Pulse())
    span = [time.isoformat(timespec="seconds") for time in (old - timedelta(hours=1), old)]
    assert told == [TotalsGivenUp("orders", *span, "sales@example.com", "docs/orders.md")]
    assert await session.give_up("orders", HOUR) == []
    rows = await database.rows("select until, verdict from outbox.reconciliation where ended_at is not null")
    assert [tuple(row) for row in rows] == [(old, "untold")]
    assert [one.verdict for one in await session.last()] == [Verdict.UNTOLD]
    task = await session.begin("orders", HOUR, 60)
    assert task is not None
    await session.end(task, agreed(task.window))
    assert [one.verdict for one in await session.last()] == [Verdict.UNTOLD, Verdict.AGREES]
    status = await Verbs(cli.folder, database.url)("status", COLUMNS="300")
    assert "were never told by the target and are given up" in status.out
    assert f"--from {old - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ} --to {old:%Y-%m-%dT%H:%M:%SZ}" in status.out


async def test_an_untold_window_is_an_alert_until_a_later_one_is_told(
    session: ReconcileSession, database: Database
) -> None:
    end = await newest(session)
    await database.value(_BEGUN, end - timedelta(hours=7), "-1 minute")
    assert len(await session.give_up("orders", HOUR)) == 1

    async def is_untold() -> bool:
        async with AlertStore(database.server).session() as alerts:
            (ground,) = (await alerts.grounds()).totals
        return ground.is_untold

    assert await is_untold()
    task = await session.begin("orders", HOUR, 60)
    assert task is not None
    await session.end(task, agreed(task.window))
    assert not await is_untold()
