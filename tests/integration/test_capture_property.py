"""Captured events, replayed in their order, make the table: whatever statements an application thinks of."""

from __future__ import annotations

import random
from decimal import Decimal

import asyncpg
import pytest

from tests.kit.database import Database
from tests.kit.replica import replayed

_TRANSACTIONS = 60
_IDS = 40

_TABLES = {
    "plain": "create table shop.item ({columns}, primary key (id))",
    "partitioned": """
        create table shop.item ({columns}, primary key (id)) partition by range (id);
        create table shop.item_low partition of shop.item for values from (minvalue) to (15);
        create table shop.item_middle (note text, amount numeric, name text, owner_id int not null, id int not null);
        alter table shop.item attach partition shop.item_middle for values from (15) to (30);
        create table shop.item_rest partition of shop.item default
    """,
}
_COLUMNS = "id int not null, name text, amount numeric, note text, owner_id int not null"
_OWNERS = """
    create table shop.owner (id int primary key);
    insert into shop.owner select generate_series(1, 5);
    alter table shop.item add foreign key (owner_id) references shop.owner on update cascade on delete cascade
"""
# What an application's own triggers do: change the row that was just written, and its neighbours, and delete.
_TRIGGERS = """
    create function shop.after_row() returns trigger language plpgsql as $$
    begin
        if new.amount > 90 then
            update shop.item set amount = 0.10, note = 'reset' where id = new.id;
        elsif new.amount between 80 and 90 then
            update shop.item set amount = amount - 1.00 where id in (new.id - 1, new.id + 1) and amount < 70;
        elsif new.note = 'gone' then
            delete from shop.item where id = new.id;
        end if;
        return null;
    end $$;
    create trigger a_row after insert or update on shop.item for each row execute function shop.after_row();
    create function shop.after_statement() returns trigger language plpgsql as $$
    begin
        update shop.item set note = 'long' where length(name) > 6 and note is distinct from 'long';
        return null;
    end $$;
    create trigger "AAA" after insert or update of name on shop.item
       for each statement execute function shop.after_statement();
"""
# Of the database, and ours: a MERGE whose updates PostgreSQL does not tell.
_REFUSALS = (asyncpg.UniqueViolationError, asyncpg.ForeignKeyViolationError, asyncpg.FeatureNotSupportedError)
_MOVE_OWNER = """
    update shop.owner set id = case id when $1 then $1 + 10 else id - 10 end where id in ($1, $1 + 10)
"""
_DELETE_AND_INSERT = """
    with gone as (delete from shop.item where id between $1 and $2 returning *)
    insert into shop.item select id, name || '!', amount, note, owner_id from gone
"""
_MERGE = """
    merge into shop.item i using ({}) s (id, name, amount, note, owner_id) on i.id = s.id
     when matched and s.amount < 30 then delete
     when matched then update set amount = s.amount
     when not matched then insert values (s.id, s.name, s.amount, s.note, s.owner_id)
"""


class Chance(random.Random):
    """The statements of one application."""

    def statement(self, version: int) -> tuple[str, list[object]]:
        low = self.randint(1, _IDS)
        high = low + self.choice([0, 0, 0, 2, 10])
        factor = self.randint(1, 1000)
        row = "n, 'n' || n * $3::int, (n * $3::int % 100)::numeric(9, 2), nullif(n % 4, 0)::text, 1 + n % 5"
        series = f"select {row} from generate_series($1::int, $2::int) n"
        fresh = f"{series} where not exists (select from shop.item i where i.id = n)"
        some, upsert = (
            "id between $1 and $2",
            "on conflict (id) do update set name = excluded.name, amount = excluded.amount",
        )
        kinds: list[tuple[str, list[object]]] = [
            (f"insert into shop.item {fresh}", [low, high, factor]),
            (f"insert into shop.item {series} on conflict (id) do nothing", [low, high, factor]),
            (f"insert into shop.item {series} {upsert} where item.name <> excluded.name", [low, high, factor]),
            (f"update shop.item set amount = amount + 0.10 where {some}", [low, high]),
            (f"update shop.item set amount = amount, note = note where {some}", [low, high]),
            (f"update shop.item set amount = amount * 1.0 where {some}", [low, high]),
            ("update shop.item set note = 'gone' where id = $1", [low]),
            (f"update shop.item set id = id + 1 where {some}", [low, high]),
            (f"update shop.item set id = id - 1, name = name || 'x' where {some}", [low, high]),
            ("update shop.item set id = $1 - id where id < $1", [low]),
            (_MOVE_OWNER, [low % 5 + 1]),
            (f"delete from shop.item where {some}", [low, high]),
            ("delete from shop.item where id = $1", [low]),
            (_DELETE_AND_INSERT, [low, high]),
            ("truncate shop.item", []) if self.random() < 0.2 else ("delete from shop.item where id > $1", [low + 20]),
        ]
        if version >= 15:
            kinds.append((_MERGE.format(series), [low, high, factor]))
        return self.choice(kinds)


async def _transaction(erp: asyncpg.Connection, chance: Chance) -> None:
    version = erp.get_server_version().major
    outer = erp.transaction()
    await outer.start()
    for _ in range(chance.choice([1, 1, 2, 5, 9])):
        savepoint = erp.transaction()
        await savepoint.start()
        statement, arguments = chance.statement(version)
        try:
            if chance.random() < 0.1:
                ids = sorted({1000 + chance.randint(1, 30) for _ in range(5)})
                rows = [(n, f"copied {n}", Decimal(n) / 8, None, 1 + n % 5) for n in ids]
                await erp.copy_records_to_table("item", schema_name="shop", records=rows)
            else:
                await erp.execute(statement, *arguments)
        except _REFUSALS:
            await savepoint.rollback()
        else:
            await (savepoint.rollback() if chance.random() < 0.15 else savepoint.commit())
    await (outer.rollback() if chance.random() < 0.15 else outer.commit())


@pytest.mark.parametrize("has_triggers", [False, True], ids=["quiet", "triggers"])
@pytest.mark.parametrize("table", _TABLES)
@pytest.mark.parametrize("seed", range(2))
async def test_replayed_events_make_the_table(database: Database, table: str, seed: int, has_triggers: bool) -> None:
    async with database.connection() as erp:
        await erp.execute("create schema shop; " + _TABLES[table].format(columns=_COLUMNS) + ";" + _OWNERS)
        if has_triggers:
            await erp.execute(_TRIGGERS)
        await erp.execute("select outbox.capture('shop.item', type => 'item', key => 'id')")
        chance = Chance(f"{table} {seed} {has_triggers}")
        for _ in range(_TRANSACTIONS):
            await _transaction(erp, chance)

        replica = await replayed(erp, "item")
        table_rows = await erp.fetch("select id, name, amount::text, note, owner_id from shop.item order by id")

    told = sorted(replica.rows.values(), key=lambda row: int(row["id"]))
    assert [(int(row["id"]), row["name"], row["amount"], row["note"], int(row["owner_id"])) for row in told] == [
        tuple(row.values()) for row in table_rows
    ]
    assert replica.applied > _TRANSACTIONS / 2, "this run proved nothing"
