"""The books of a window: where each event stands, and what all of them come to, to the last digit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import asyncpg
import pytest

from outbox.model.errors import AccessRefused, Misconfigured
from outbox.model.reconciliation import Place, Reconciliation, Verdict
from outbox.postgres.reconcile import ReconcileStore
from tests.integration.test_permissions import login
from tests.kit.books import Ledger
from tests.kit.database import Database
from tests.kit.work import nodes, plans_inside, rows_touched, tree

PAGE = (
    "select * from inbox.reconcile_page('orders', '{^\\.order\\.confirmed$}', now() - interval '1 hour',"
    " now() + interval '1 hour', '{total,amount}', '{total,currency}', true, $1, 9223372036854775807, 2000, 1000)"
)


@pytest.fixture
async def ledger(database: Database) -> Ledger:
    ready = Ledger(database)
    await ready.begin()
    return ready


def amounts(result: Reconciliation, place: str = "committed") -> dict[str, tuple[int, str]]:
    rows = [row for row in result.rows if row.place == place]
    return {row.currency: (row.sum.count, f"{row.sum.amount:f}") for row in rows}


async def test_every_event_is_named_by_where_it_stands_and_none_is_called_lost(ledger: Ledger) -> None:
    states = {"ready": "waiting", "retry": "waiting", "applying": "waiting", "dead": "dead", "skipped": "skipped"}
    for state in (*states, "in_doubt", "applied"):
        await ledger.stand(await ledger.emit("1.00"), state)
    await ledger.database.value("update inbox.delivery set parked_at = now(), reason_group = 'g' where state in"
                                " ('dead', 'in_doubt') returning id")  # fmt: skip
    rejected = await ledger.emit("1.00")
    await ledger.database.value(
        "insert into outbox.rejected (sequence, event_id, type, reason)"
        " select id, event_id, type, 'too large' from outbox.event where event_id = $1 returning sequence",
        rejected,
    )
    await ledger.emit("1.00")
    await ledger.publish()
    await ledger.emit("1.00")
    result = await ledger.compared()
    assert result.counts == {
        Place.WAITING: 3,
        Place.DEAD: 1,
        Place.SKIPPED: 1,
        Place.IN_DOUBT: 1,
        Place.REJECTED: 1,
        Place.NOT_ACCEPTED: 1,
        Place.UNPUBLISHED: 1,
    }
    assert result.verdict is Verdict.DISAGREES, "one was published and never came"
    assert {one.event_id for one in result.differences} == set(ledger.ids) - {ledger.ids[6]}
    assert [result.count(place) for place in ("committed", "published", "applied")] == [10, 8, 1]
    assert len({one.next_step for one in result.differences}) == 7


async def test_what_is_skipped_is_a_known_difference_and_what_waits_is_late(ledger: Ledger) -> None:
    await ledger.applied("5.00")
    await ledger.stand(await ledger.emit("1.00"), "skipped")
    await ledger.publish()
    assert (await ledger.compared()).verdict is Verdict.AGREES
    await ledger.stand(await ledger.emit("1.00"), "ready")
    assert (await ledger.compared()).verdict is Verdict.LATE
    ledger.subject = replace(ledger.subject, count_tolerance=1, amount_tolerance=Decimal("1.00"))
    assert (await ledger.compared()).verdict is Verdict.AGREES


async def test_sums_are_exact_to_the_last_digit_and_of_one_currency_each(ledger: Ledger) -> None:
    for amount in (0.1, "0.2", "9999999999999999999.99", "0.000000000000000001", "-12.50", "1E+2"):
        await ledger.applied(amount)
    await ledger.emit(None, raw='{"total": {"amount": 1234567890123456789.123456789, "currency": "USD"}}')
    await ledger.publish()
    result = await ledger.compared()
    assert amounts(result) == {
        "EUR": (6, "10000000000000000087.790000000000000001"),
        "USD": (1, "1234567890123456789.123456789"),
    }


@pytest.mark.parametrize(
    "raw",
    [
        '{"total": {"amount": "12,50", "currency": "EUR"}}',
        '{"total": {"amount": "NaN", "currency": "EUR"}}',
        '{"total": {"amount": "1e999", "currency": "EUR"}}',
        '{"total": {"amount": null, "currency": "EUR"}}',
        '{"total": [1]}',
        '"text"',
        "7",
    ],
)
async def test_an_amount_that_cannot_be_read_never_agrees(ledger: Ledger, raw: str) -> None:
    await ledger.stand(await ledger.emit(None, raw=raw), "applied")
    await ledger.publish()
    result = await ledger.compared()
    assert result.verdict is Verdict.DISAGREES
    assert any("cannot be read at total.amount" in note for note in result.notes)


async def test_a_payload_that_no_text_can_hold_is_read_all_the_same(ledger: Ledger) -> None:
    raw = '{"note": "\\u0000 \\ud800", "total": {"amount": "3.00", "currency": "EUR"}}'
    await ledger.stand(await ledger.emit(None, raw=raw), "applied")
    await ledger.publish()
    assert amounts(await ledger.compared()) == {"EUR": (1, "3.00")}


async def test_what_a_person_has_edited_counts_as_it_was_applied(ledger: Ledger) -> None:
    await ledger.stand(await ledger.emit("5.00"), "applied", edited='{"total": {"amount": "4.00", "currency": "EUR"}}')
    await ledger.publish()
    result = await ledger.compared()
    assert (amounts(result), amounts(result, "applied")) == ({"EUR": (1, "5.00")}, {"EUR": (1, "4.00")})
    assert result.verdict is Verdict.AGREES
    assert any("edited" in note for note in result.notes)


async def test_a_window_takes_what_was_written_in_it_and_of_the_types_that_count(ledger: Ledger) -> None:
    await ledger.applied("1.00")
    await ledger.database.value("select outbox.emit('order.cancelled', null, '{}')")
    old = await ledger.applied("2.00")
    await ledger.database.value(
        "update outbox.event set created_at = now() - interval '1 day' where event_id = $1 returning id", old
    )
    await ledger.publish()
    assert amounts(await ledger.compared()) == {"EUR": (1, "1.00")}


async def test_what_was_applied_once_stays_applied_beside_a_replay(ledger: Ledger) -> None:
    event_id = await ledger.applied("1.00", name="D-1")
    await ledger.database.value(
        "insert into inbox.delivery (flow, message_id, sequence, type, version, lane, state, due_at, generation)"
        " values ('orders', $1, 1, 'order.confirmed', 1, 0, 'ready', now(), 1) returning id",
        event_id,
    )
    await ledger.publish()
    assert await ledger.standing() == {}


async def test_a_window_that_retention_has_cut_never_agrees(ledger: Ledger) -> None:
    await ledger.applied("1.00")
    await ledger.publish()
    await ledger.database.value(
        "insert into outbox.partition (number, opened_at, closed_at, sealed_by, emptied_at)"
        " values (-1, now(), now(), '3', now()) returning number"
    )
    result = await ledger.compared()
    assert result.verdict is Verdict.DISAGREES
    assert any("retention" in note for note in result.notes)


async def test_the_erps_own_tables_are_asked_as_a_role_that_can_write_nothing(ledger: Ledger) -> None:
    async with ledger.database.connection() as connection:
        await connection.execute("create table public.sale_order (at timestamptz default now(), total numeric(12, 2))")
        await connection.execute("insert into public.sale_order (total) values (5.00), (7.25)")
    query = (
        "select count(*) as count, sum(total) as amount, 'EUR' as currency from public.sale_order"
        " where at >= $1 and at < $2 -- those of the window"
    )
    ledger.subject = replace(ledger.subject, query=query)
    await ledger.applied("5.00")
    await ledger.publish()
    result = await ledger.compared()
    assert amounts(result, "source") == {"EUR": (2, "12.25")}
    assert result.verdict is Verdict.DISAGREES, "the application forgot to emit one"
    ledger.subject = replace(ledger.subject, query="select count(*) as count from public.sale_order where total = 5.00")
    only_counted = await ledger.compared()
    assert only_counted.verdict is Verdict.AGREES
    assert any("source does not tell amounts" in note for note in only_counted.notes)
    ledger.subject = replace(ledger.subject, query="select 0 as count, sum(total) as amount from public.sale_order"
                                                   " where total > 99")  # fmt: skip
    assert (await ledger.compared()).verdict is Verdict.DISAGREES, "there is one in the outbox"
    for wrong, about in (
        ("insert into public.sale_order default values", "42601"),
        ("select 1 as count; drop table public.sale_order", "42601"),
        ("select nextval('outbox.event_id_seq') as count", "25006"),
        ("select total from public.sale_order", "no column count"),
        ("select count(*) from public.nothing", "public.nothing"),
        ("select 1 as count, 'EUR5.00' as amount", "an amount is no number"),
        ("select 1 as count, null::numeric as amount", "an amount is no number"),
        ("select ('x' || total)::int as count from public.sale_order", "22P02"),
    ):
        ledger.subject = replace(ledger.subject, query=wrong)
        with pytest.raises(Misconfigured) as raised:
            await ledger.books()
        assert about in str(raised.value)
        assert "5.00" not in str(raised.value)


async def test_the_query_is_refused_where_it_could_write(ledger: Ledger) -> None:
    with pytest.raises(asyncpg.PostgresError) as raised:
        await ledger.database.value("select outbox.committed_rows('select 1', null, now(), now(), 1)")
    assert raised.value.sqlstate == "OB004"


async def test_consumers_need_no_more_than_their_role_and_the_query_what_its_role_has(ledger: Ledger) -> None:
    await ledger.applied("5.00")
    await ledger.publish()
    async with login(ledger.database, "outbox_adapter") as url:
        adapter = Ledger(Database(url), ledger.subject)
        assert amounts(await adapter.compared()) == {"EUR": (1, "5.00")}
        adapter.subject = replace(ledger.subject, query="select count(*) as count from inbox.delivery", role="postgres")
        with pytest.raises((AccessRefused, Misconfigured)):
            await adapter.books()
    async with login(ledger.database, "outbox_writer") as url:
        with pytest.raises(AccessRefused):
            await Ledger(Database(url), ledger.subject).books()


async def test_a_page_costs_what_it_looks_at_however_large_the_tables_are(ledger: Ledger) -> None:
    async with ledger.database.connection() as connection:
        # The plan is made while there is nothing, and kept.
        await connection.fetch(PAGE, 0)
        for table in ("outbox.event_p0", "inbox.delivery", "inbox.message"):
            await connection.execute(f"alter table {table} set (autovacuum_enabled = off)")
        await connection.execute(
            "insert into outbox.event (type, payload) select 'order.confirmed',"
            ' \'{"total": {"amount": "1.01", "currency": "EUR"}}\' from generate_series(1, 20000)'
        )
        await connection.execute(
            "insert into inbox.delivery (flow, message_id, sequence, type, version, lane, state, settled_at)"
            " select 'orders', event_id::text, id, type, 1, 0, 'applied', now() from outbox.event"
        )
        for table in ("outbox.event", "inbox.delivery", "outbox.rejected"):
            _, touched = await rows_touched(connection, table, PAGE, 5000)
            assert touched <= 3 * 2000, (table, touched)
        plans = await plans_inside(connection, PAGE, 5000)
    read = [node for plan in plans or [] for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
    assert {node["Relation Name"] for node in read} <= {"cursor"}, [tree(plan) for plan in plans or []]
    # Of several events of one record the last one counts: both lists are in order, whatever plan is chosen.
    lists = [node for plan in plans or [] for node in nodes(plan) if node["Node Type"] == "Sort"]
    assert plans is None or len([node for node in lists if node["Sort Key"][0].endswith(".id")]) == 2, lists


async def test_the_range_of_a_window_leaves_out_partitions_that_cannot_hold_any_of_it(ledger: Ledger) -> None:
    await ledger.database.value(
        "update outbox.partition set opened_at = now() - interval '40 days', closed_at = now() - interval '30 days'"
        " where number = 0 returning number"
    )
    await ledger.database.value(
        "insert into outbox.partition (number, opened_at, closed_at)"
        " values (1, now() - interval '30 days', now() - interval '10 days'), (2, now() - interval '10 days', null)"
        " returning number"
    )
    async with ReconcileStore(ledger.database.server).session() as session:
        now = await session.now()
        window = await ledger.window()
        recent = await session.range(window)
        older = await session.range(replace(window, since=now - timedelta(days=25), until=now - timedelta(days=24)))
        await ledger.database.value("delete from outbox.partition where number < 2 returning number")
        cut = await session.range(replace(window, since=now - timedelta(days=11), until=now - timedelta(days=9)))
        whole = await session.range(replace(window, since=now - timedelta(days=9)))
    assert (cut[2], whole[2]) == (True, False)
    assert recent == ((2 << 32) - 1, 2**63 - 1, False)
    assert older == ((1 << 32) - 1, (2 << 32) - 1, False)
