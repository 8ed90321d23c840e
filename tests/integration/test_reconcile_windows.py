"""Windows that are reconciled by themselves: one process each, in order, stored once, told once."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from outbox.app import App
from outbox.config.settings import Settings
from outbox.flow.reconciler import Reconciler
from outbox.model.errors import AccessRefused, ExitCode
from outbox.model.lifecycle import Lifecycle
from outbox.model.reconcile_events import Reconciled, TotalsUntold
from outbox.model.reconciliation import Reconciliation, Row, Schedule, Verdict
from outbox.model.totals import Sum, Window
from outbox.postgres.connection import PostgresServer
from outbox.postgres.reconcile import ReconcileSession, ReconcileStore, window_before
from outbox.supervisor import Pulse, Stop
from outbox.wiring_reconcile import owner_of, schedule_of, subject_of
from outbox.wiring_targets import adapters_of
from sandbox.crm import CrmServer
from sandbox.crm_faults import Faults
from tests.integration.test_permissions import login
from tests.integration.test_reconcile import settings_for
from tests.kit.broker import Broker
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.probe import metrics_of
from tests.kit.running import FLOW, Integration, running
from tests.kit.verbs import Verbs
from tests.kit.waiting import until

HOUR = Schedule(3600.0, 3600.0, 60.0)
STORED = "select * from outbox.reconciliation order by until"


@pytest.fixture
async def session(database: Database) -> AsyncIterator[ReconcileSession]:
    async with ReconcileStore(database.server).session() as ready:
        yield ready


@pytest.fixture
async def integration(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Integration]:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as crm:
        yield Integration(database, broker, crm, tmp_path)


def result(window: Window, verdict: Verdict = Verdict.AGREES) -> Reconciliation:
    return Reconciliation("orders", window, verdict, [Row("committed", "EUR", Sum(1))], {})


async def shown(app: App, series: str) -> dict[str, float]:
    """Wait until a metric of a process is above zero; return all of them."""

    async def look() -> dict[str, float] | None:
        port = app.admin.bound_port
        metrics = {} if port is None else await metrics_of(port)
        return metrics if metrics.get(series, 0) > 0 else None

    found = await until(look, what=f"{series} is counted")
    assert found is not None
    return found


async def next_told(integration: Integration, settings: Settings) -> Lifecycle:
    """Run the service of the flow until it tells something; return that."""
    flow, stop, told = settings.flows[FLOW], Stop(), []
    assert flow.reconcile is not None

    def report(event: Lifecycle) -> None:
        told.append(event)
        stop.set()

    adapter = adapters_of(settings)[FLOW]
    store = ReconcileStore(integration.database.server)
    service = Reconciler(subject_of(FLOW, flow), schedule_of(flow.reconcile), store, adapter, owner_of(flow), report)
    try:
        async with asyncio.timeout(20):
            await service.run(stop, Pulse())
    finally:
        await adapter.close()
    return told[0]


async def test_a_window_ends_on_a_multiple_of_its_period_and_is_due_after_its_lag(session: ReconcileSession) -> None:
    task = await session.begin("orders", HOUR, 60)
    assert task is not None
    now = await session.now()
    assert task.window == window_before(now, HOUR)
    assert task.window.until.timestamp() % 3600 == 0
    assert timedelta(seconds=60) <= now - task.window.until < timedelta(seconds=3660)
    assert task.window.until - task.window.since == timedelta(hours=1)


async def test_one_process_has_a_window_until_its_lease_is_over(session: ReconcileSession, database: Database) -> None:
    task = await session.begin("orders", HOUR, 60)
    assert task is not None
    assert await session.begin("orders", HOUR, 60) is None
    assert await session.begin("invoices", HOUR, 60) is not None, "another flow is another's"
    assert await session.renew(task, 60)
    await database.value("update outbox.reconciliation set leased_until = now() - interval '1 second' returning id")
    taken = await session.begin("orders", HOUR, 60)
    assert taken is not None
    assert (taken.window, taken.epoch) == (task.window, task.epoch + 1)
    assert not await session.renew(task, 60), "whoever was frozen has lost it"
    assert not await session.end(task, result(task.window, Verdict.DISAGREES))
    assert await session.end(taken, result(taken.window))
    assert not await session.end(taken, result(taken.window, Verdict.DISAGREES)), "a result is stored once"
    assert [row["verdict"] for row in await database.rows(STORED) if row["flow"] == "orders"] == ["agrees"]
    assert await session.begin("orders", HOUR, 60) is None


async def test_what_was_due_while_nothing_ran_is_made_good_in_order(
    session: ReconcileSession, database: Database
) -> None:
    first = await session.begin("orders", HOUR, 60)
    assert first is not None
    await session.end(first, result(first.window))
    for hours, expected in ((3, 3), (100, 7)):
        await database.value("delete from outbox.reconciliation where until > $1", first.window.until)
        await database.value(
            "update outbox.reconciliation set until = $1::timestamptz - make_interval(hours => $2),"
            " since = $1::timestamptz - make_interval(hours => $2 + 1) where id = $3 returning id",
            first.window.until,
            hours,
            first.id,
        )
        ends = []
        while (task := await session.begin("orders", HOUR, 60)) is not None:
            ends.append(task.window.until)
            await session.end(task, result(task.window))
        last = first.window.until
        assert ends == [last - timedelta(hours=back) for back in range(expected - 1, -1, -1)]
        await database.value("delete from outbox.reconciliation where id <> $1", first.id)


async def test_a_year_of_days_is_kept_and_no_more(session: ReconcileSession, database: Database) -> None:
    await database.value(
        "insert into outbox.reconciliation (flow, since, until, leased_until, ended_at, verdict, result)"
        " select f, now() - make_interval(days => n + 1), now() - make_interval(days => n), now(), now(), 'agrees',"
        " '{}'"
        " from generate_series(1, 450) n, unnest(array['orders', 'invoices']) f returning id"
    )
    task = await session.begin("orders", HOUR, 60)
    assert task is not None
    await session.end(task, result(task.window))
    counted = await database.rows("select flow, count(*) from outbox.reconciliation group by flow order by flow")
    assert [tuple(row) for row in counted] == [("invoices", 450), ("orders", 400)]


async def test_windows_are_looked_at_with_the_role_of_consumers_and_seen_with_that_of_the_relay(
    database: Database,
) -> None:
    async with login(database, "outbox_adapter") as url, ReconcileStore(PostgresServer(url)).session() as consumer:
        task = await consumer.begin("orders", HOUR, 60)
        assert task is not None
        assert await consumer.renew(task, 60)
        assert await consumer.end(task, result(task.window, Verdict.LATE))
    async with login(database, "outbox_relay") as url, ReconcileStore(PostgresServer(url)).session() as relay:
        assert [(one.flow, one.verdict) for one in await relay.last()] == [("orders", Verdict.LATE)]
        with pytest.raises(AccessRefused):
            await relay.begin("orders", HOUR, 60)


async def test_a_dropped_record_is_stored_told_and_counted_with_its_owner(
    integration: Integration, database: Database, session: ReconcileSession, cli: Cli
) -> None:
    async with running(settings_for(integration, {"every": "366d"})):
        ids = [await integration.emit(f"SO-{n}", customer=f"C-{n}", amount="2.50", currency="EUR") for n in range(3)]
        for event_id in ids:
            await integration.in_state(event_id, "applied")
    integration.crm.lose("SO-1")
    # The day of the events must be over, and the next one that is due also if midnight passes meanwhile.
    day = window_before(await session.now(), Schedule(86_400.0, 86_400.0, 0.0))
    await database.value("update outbox.event set created_at = $1 returning id", day.until - timedelta(minutes=1))
    await database.value(
        "update outbox.reconciliation set since = $1::timestamptz - interval '1 day', until = $1, verdict = 'agrees',"
        " result = '{}', ended_at = now() returning id",
        day.since,
    )
    settings = settings_for(integration, {"lag": "0s"})
    async with running(settings) as app:
        metrics = await shown(app, f'outbox_reconciliation_unexplained_total{{flow="{FLOW}"}}')
    assert metrics[f'outbox_reconciliations_total{{flow="{FLOW}",verdict="disagrees"}}'] == 1
    (row,) = [row for row in await database.rows(STORED) if row["until"] == day.until]
    assert row["verdict"] == "disagrees"
    document = json.loads(row["result"])
    assert [(one["place"], one["event_id"]) for one in document["differences"]] == [("lost", ids[1])]
    status = await Verbs(cli.folder, database.url)("status", COLUMNS="300")
    assert f"{FLOW}: the totals of {day.since:%Y-%m-%d} 00:00Z to {day.until:%Y-%m-%d} 00:00Z disagree" in status.out
    await database.value("delete from outbox.reconciliation where until = $1 returning id", day.until)
    event = await next_told(integration, settings)
    assert isinstance(event, Reconciled)
    assert (event.verdict, event.committed, event.applied, event.at_target) == ("disagrees", 3, 3, 2)
    assert (event.unexplained, event.on_the_way) == (1, 0)
    assert (event.owner, event.runbook) == ("sales-ops@example.com", "docs/runbooks/orders.md")


async def test_a_target_that_does_not_tell_is_asked_again_and_nothing_is_stored(
    integration: Integration, database: Database
) -> None:
    settings = settings_for(integration, path="/reports/nothing")
    async with running(settings) as app:
        await shown(app, f'outbox_reconciliation_untold_total{{flow="{FLOW}"}}')
    (row,) = await database.rows(STORED)
    assert (row["ended_at"], row["verdict"]) == (None, None)
    await database.value("update outbox.reconciliation set leased_until = now() - interval '1 second' returning id")
    event = await next_told(integration, settings)
    assert isinstance(event, TotalsUntold)
    assert "GET /reports/nothing: answered 404" in event.reason
    (row,) = await database.rows(STORED)
    assert (row["ended_at"], row["verdict"]) == (None, None)


async def test_the_command_prints_the_table_lists_what_differs_and_ends_with_1(
    integration: Integration, cli: Cli, broker: Broker, database: Database
) -> None:
    settings = settings_for(integration)
    async with running(settings):
        ids = [await integration.emit(f"SO-{n}", customer=f"C-{n}", amount="2.50", currency="EUR") for n in range(2)]
        for event_id in ids:
            await integration.in_state(event_id, "applied")
    (file,) = cli.folder.glob("*.yaml")
    file.rename(cli.folder / "outbox.yaml")
    outbox = Verbs(cli.folder, database.url, broker.url)
    span = ("--from", "2026-01-01", "--to", "2100-01-01")
    agreed = await outbox("reconcile", *span)
    integration.crm.lose("SO-1")
    table, as_json, as_csv = [
        await outbox("reconcile", "--flow", FLOW, *span, *how)
        for how in ((), ("--format", "json"), ("--format", "csv"))
    ]
    empty = await outbox("reconcile", "--from", "2026-01-01", "--to", "2026-01-02")
    assert (agreed.code, empty.code) == (ExitCode.OK, ExitCode.OK)
    assert "agrees" in agreed.out
    assert {ended.code for ended in (table, as_json, as_csv)} == {ExitCode.CHECK_FAILED}
    assert ids[1] in table.out
    assert "outbox replay" in table.out
    (document,) = json.loads(as_json.out)
    assert {total["place"]: (total["count"], total["amount"]) for total in document["totals"]} == {
        "committed": (2, "5.00"), "published": (2, "5.00"), "applied": (2, "5.00"), "target": (1, "2.50"),
    }  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(as_csv.out)))
    assert [row["event_id"] for row in rows if row["kind"] == "difference"] == [ids[1]]
    recent = await outbox("reconcile", "--since", "2h")
    assert (recent.code, ids[1] in recent.out) == (ExitCode.CHECK_FAILED, True)
    for wrong in (("--since", "2 hours"), ("--since", "2100-01-01"), ("--since", "2h", *span)):
        assert (await outbox("reconcile", *wrong)).code == ExitCode.USAGE
    for wrong in (("--flow", "nothing"), ("--from", "2026-01-01"), ("--from", "2026-01-02", "--to", "2026-01-01")):
        assert (await outbox("reconcile", *wrong)).code == ExitCode.USAGE
    integration.crm.set_faults(Faults(refuse_token=True))
    away = await outbox("reconcile", *span)
    assert away.code == ExitCode.CHECK_FAILED
    assert "the target does not tell" in away.err


async def test_what_was_found_is_told_also_when_the_process_dies_before_it_is_stored(
    integration: Integration, database: Database
) -> None:
    class KilledError(Exception):
        pass

    def die(_event: Lifecycle) -> None:
        raise KilledError

    settings = settings_for(integration)
    flow = settings.flows[FLOW]
    assert flow.reconcile is not None
    adapter = adapters_of(settings)[FLOW]
    store = ReconcileStore(database.server)
    service = Reconciler(subject_of(FLOW, flow), schedule_of(flow.reconcile), store, adapter, owner_of(flow), die)
    try:
        with pytest.raises(KilledError):
            await service.run(Stop(), Pulse())
    finally:
        await adapter.close()
    (row,) = await database.rows(STORED)
    assert row["ended_at"] is None
    await database.value("update outbox.reconciliation set leased_until = now() - interval '1 second' returning id")
    assert isinstance(await next_told(integration, settings), Reconciled)
    (row,) = await database.rows(STORED)
    assert (row["epoch"], row["verdict"]) == (2, "agrees")
