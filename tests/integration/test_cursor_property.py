"""The snapshot cursor against writers that do everything that breaks other cursors.

Judged by what the writers have committed beside the rows: nothing missing, nothing twice, no inversion per key, also
while partitions are opened, emptied and dropped under them. Ids do go backwards between batches; each time that
happens, a cursor of the form "id > last" would have lost an event.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

import asyncpg
import pytest

from outbox.model.cursor import Cursor, PageLimits
from outbox.model.envelope import Envelope
from outbox.postgres.outbox_store import OutboxSession, OutboxStore
from tests.kit.database import Database
from tests.kit.partitions import AT_ONCE, IDS, days_go_by

_WRITERS = 8
_KEYS = 30
_TRANSACTIONS_PER_WRITER = 25
_TRIES = 50
_SETUP = f"""
create schema shop;
create table shop.account (key text primary key, counter bigint not null default 0);
insert into shop.account select 'k' || n, 0 from generate_series(1, {_KEYS}) n;
create table shop.noise (x int);
create table shop.written (id bigint);
"""


@dataclass
class Seen:
    ids: list[int] = field(default_factory=list)
    per_key: dict[str, list[int]] = field(default_factory=dict)
    regressions: int = 0

    def add(self, events: list[Envelope]) -> None:
        for event in events:
            if self.ids and event.sequence < self.ids[-1]:
                self.regressions += 1
            self.ids.append(event.sequence)
            assert event.key is not None
            self.per_key.setdefault(event.key, []).append(int(event.payload))


async def _write(url: str, seed: int) -> None:
    """Transactions with savepoints, partial and whole rollbacks, early transaction ids and slow commits."""
    connection = await asyncpg.connect(url)
    chance = random.Random(seed)
    try:
        for _ in range(_TRANSACTIONS_PER_WRITER):
            transaction = connection.transaction()
            await transaction.start()
            if chance.random() < 0.5:
                await connection.execute("insert into shop.noise values (1)")  # the xid comes long before any key
            if chance.random() < 0.3:
                await connection.execute("select pg_sleep($1)", chance.random() * 0.03)
            # In one order of keys for all: the writers must not deadlock.
            for key in sorted({f"k{chance.randint(1, _KEYS)}" for _ in range(chance.choice([1, 1, 2, 5, 12]))}):
                await _touch(connection, key, chance)
            pause = chance.random()
            await connection.execute("select pg_sleep($1)", 0 if pause < 0.8 else 0.1 if pause < 0.96 else 0.5)
            if chance.random() < 0.15:
                await transaction.rollback()
            else:
                await transaction.commit()
    finally:
        await connection.close()


async def _touch(connection: asyncpg.Connection, key: str, chance: random.Random) -> None:
    savepoint = connection.transaction() if chance.random() < 0.3 else None
    if savepoint is not None:
        await savepoint.start()
    counter = await connection.fetchval(
        "update shop.account set counter = counter + 1 where key = $1 returning counter", key
    )
    id_ = await connection.fetchval(
        "insert into outbox.event (type, key, payload) values ('t', $1, $2::json) returning id", key, str(counter)
    )
    await connection.execute("insert into shop.written values ($1)", id_)
    if savepoint is None:
        return
    if chance.random() < 0.3:
        await savepoint.rollback()
    else:
        await savepoint.commit()


async def _drain(session: OutboxSession, cursor: Cursor, limits: PageLimits, seen: Seen) -> Cursor:
    """Read one batch page by page, as the relay does."""
    batch = await session.begin_batch(cursor)
    cursor, after = cursor.begun(batch.current), batch.start(0)
    while True:
        page = await session.read_page(cursor, batch, after)
        seen.add([event for event in page.events if isinstance(event, Envelope)])
        if page.events:
            after = page.last_sequence()
        if page.is_last(limits):
            return cursor.finished()


async def _let_days_go_by(database: Database, writers: list[asyncio.Task[None]]) -> None:
    while not all(writer.done() for writer in writers):
        await days_go_by(database, 1, AT_ONCE)


@pytest.mark.parametrize(
    ("page_events", "page_bytes", "has_days"), [(3, 1 << 20, True), (50, 40, False), (500, 1 << 20, True)]
)
async def test_every_committed_event_is_read_once_and_in_order_for_its_key(
    database: Database, page_events: int, page_bytes: int, has_days: bool
) -> None:
    async with database.connection() as connection:
        await connection.execute(_SETUP)
    limits, seen = PageLimits(page_events, page_bytes, 1 << 20), Seen()
    async with OutboxStore(database.server, limits).session() as session:
        lead = await session.try_lead()
        assert lead is not None
        cursor = lead.cursor
        async with asyncio.TaskGroup() as group:
            writers = [group.create_task(_write(database.url, seed)) for seed in range(_WRITERS)]
            if has_days:
                group.create_task(_let_days_go_by(database, writers))
            while not all(writer.done() for writer in writers):
                cursor = await _drain(session, cursor, limits, seen)
                await session.save(lead, cursor)
        cursor = await _drain(session, cursor, limits, seen)

    committed = {row["id"] for row in await database.rows("select id from shop.written")}
    assert len(seen.ids) == len(set(seen.ids)), "an event was read twice"
    assert set(seen.ids) == committed, "an event was missed, or one was read that never committed"
    inversions = [key for key, counters in seen.per_key.items() if counters != sorted(counters)]
    assert not inversions, "the order of a key was turned round"
    assert seen.regressions > 0, "nothing committed out of order: this run proved nothing"
    assert len({id_ // IDS for id_ in committed}) > 2 * has_days, "no day has gone by"


async def test_an_event_of_a_slow_transaction_is_read_although_later_ids_were_read_before(database: Database) -> None:
    limits, seen = PageLimits(10, 1 << 20, 1 << 20), Seen()
    async with OutboxStore(database.server, limits).session() as session, database.connection() as slow:
        lead = await session.try_lead()
        assert lead is not None
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute("insert into outbox.event (type, key, payload) values ('t', 'slow', '1')")
        async with database.connection() as quick:
            await quick.execute("insert into outbox.event (type, key, payload) values ('t', 'quick', '1')")
        cursor = await _drain(session, lead.cursor, limits, seen)
        assert list(seen.per_key) == ["quick"], "an open transaction anywhere must not hold others back"
        await transaction.commit()
        cursor = await _drain(session, cursor, limits, seen)
        assert list(seen.per_key) == ["quick", "slow"]
        assert seen.regressions == 1
        assert (await session.begin_batch(cursor)).is_empty()


async def test_a_transaction_above_xmax_with_a_small_id_is_not_missed(database: Database) -> None:
    """xmax of a snapshot is the latest completed id + 1: an open transaction at or above it may have drawn an id."""
    limits, seen = PageLimits(10, 1 << 20, 1 << 20), Seen()
    async with OutboxStore(database.server, limits).session() as session, database.connection() as early:
        lead = await session.try_lead()
        assert lead is not None
        cursor = lead.cursor
        for number in range(1, _TRIES + 1):
            transaction = early.transaction()
            await transaction.start()
            await early.execute(
                "insert into outbox.event (type, key, payload) values ('t', 'early', $1::json)", str(number)
            )
            cursor = await _drain(session, cursor, limits, seen)
            xid = await early.fetchval("select pg_current_xact_id()::text::bigint")
            if int(cursor.previous.split(":")[1]) <= xid:
                break
            # Somebody else in this cluster has completed a later transaction: that is the other case.
            await transaction.commit()
        else:
            pytest.fail("the case needs an open transaction at or above xmax, and others were always faster")
        async with database.connection() as other:
            await other.executemany(
                "insert into outbox.event (type, key, payload) values ('t', 'other', $1::json)", [("1",), ("2",)]
            )
        await transaction.commit()
        await _drain(session, cursor, limits, seen)
        assert seen.per_key == {"early": list(range(1, number + 1)), "other": [1, 2]}
