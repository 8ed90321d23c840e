"""Which tables can be captured, by whom, and what becomes of a capture."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from outbox.postgres.connection import PostgresServer
from outbox.postgres.migrate import migrate
from tests.integration.test_migrate import owned_database
from tests.integration.test_permissions import connected, login
from tests.kit.database import Database
from tests.kit.urls import with_database, with_user
from tests.kit.waiting import until

_TABLES = """
create table item (id int primary key, name text not null, note text, owner_id int not null default 1);
create table keyless (id int, name text not null);
create unique index on keyless (id);
create unique index on keyless (name) where id > 0;
create table late (id int primary key deferrable, name text);
create table parted (id int primary key, name text) partition by range (id);
create table part partition of parted default;
create view seen as select * from item;
create temp table passing (id int primary key);
"""
_KEYS = "select type, key from outbox.event order by id"


_REFUSED: tuple[tuple[str, type[asyncpg.PostgresError], str, str], ...] = (
    (
        "'item', 'order', 'nam'",
        asyncpg.UndefinedColumnError,
        "table public.item has no column nam",
        "it has: id, name, note",
    ),
    ("'item', 'order', '{id,nam}'", asyncpg.UndefinedColumnError, "no column nam", "it has: id"),
    ("'item', 'order', 'id', columns => '{ctid}'", asyncpg.UndefinedColumnError, "no column ctid", "it has"),
    ("'item', 'order', 'id', exclude => '{x}'", asyncpg.UndefinedColumnError, "no column x", "it has"),
    (
        "'item', 'order', 'note'",
        asyncpg.InvalidParameterValueError,
        "column note of public.item may be null",
        "set not null",
    ),
    ("'item', 'order', '{}'", asyncpg.InvalidParameterValueError, "no key is given", "name the column"),
    ("'item', 'order', null", asyncpg.InvalidParameterValueError, "no key is given", "name the column"),
    ("'item', 'my order', 'id'", asyncpg.InvalidParameterValueError, "type 'my order' cannot", "without spaces"),
    ("'item', 'order.', 'id'", asyncpg.InvalidParameterValueError, "type 'order.' cannot", "words with dots"),
    ("'item', repeat('x', 241), 'id'", asyncpg.InvalidParameterValueError, "cannot begin", "at most 240 bytes"),
    ("'item', null, 'id'", asyncpg.InvalidParameterValueError, "type null cannot", "words with dots"),
    ("'item', 'order', 'id', '{name}', '{note}'", asyncpg.InvalidParameterValueError, "both", "only these"),
    ("'item', 'order', 'id', version => 0", asyncpg.InvalidParameterValueError, "version 0 is not", "1 or more"),
    (
        "'item', 'order', 'id', max_payload_bytes => 0",
        asyncpg.InvalidParameterValueError,
        "not between",
        "rabbitmq",
    ),
    ("'keyless', 'order', 'name'", asyncpg.InvalidTableDefinitionError, "keyless has nothing", "add a primary key"),
    ("'late', 'order', 'id'", asyncpg.InvalidTableDefinitionError, "late has nothing", "not deferrable"),
    (
        "'part', 'order', 'id'",
        asyncpg.WrongObjectTypeError,
        "part is a partition",
        "outbox.capture('public.parted', …)",
    ),
    ("'seen', 'order', 'id'", asyncpg.WrongObjectTypeError, "seen cannot be captured", "a permanent table"),
    ("'passing', 'order', 'id'", asyncpg.WrongObjectTypeError, "passing cannot be captured", "a permanent table"),
    (
        "'outbox.cursor', 'order', 'stream'",
        asyncpg.WrongObjectTypeError,
        "cannot be captured",
        "of the application",
    ),
    ("0::regclass, 'order', 'id'", asyncpg.UndefinedTableError, "there is no such table", "with its schema"),
)


async def test_what_cannot_be_captured_is_refused_with_the_next_step(database: Database) -> None:
    async with database.connection() as erp:
        await erp.execute(_TABLES)
        for call, error, message, hint in _REFUSED:
            with pytest.raises(error) as caught:
                await erp.execute(f"select outbox.capture({call})")
            assert message in str(caught.value), call
            assert hint in str(caught.value.hint), call
        ours = "select count(*) from pg_trigger where not tgisinternal and tgname like '!%'"
        assert await erp.fetchval(ours) == 0


async def test_a_unique_index_without_nulls_stands_in_for_a_primary_key(database: Database) -> None:
    async with database.connection() as erp:
        await erp.execute(
            "create table t (a int not null, b text not null, c text); create unique index on t (b) include (c)"
        )
        await erp.execute("select outbox.capture('t', type => 't', key => 'a')")
        assert await erp.fetchrow("select key, identity from outbox.captures") == (["a"], ["b"])
        await erp.execute("insert into t values (1, 'x', 'c'); update t set a = 2")
        assert await erp.fetch(_KEYS) == [("t.created", "1"), ("t.updated", "2")]


async def test_a_second_call_replaces_the_settings_and_a_release_ends_them(database: Database) -> None:
    async with database.connection() as erp:
        await erp.execute(_TABLES)
        await erp.execute("select outbox.capture('item', type => 'a', key => 'id')")
        await erp.execute(
            "select outbox.capture('item', type => 'b', key => '{owner_id,id}', columns => '{note}', ordered => true)"
        )
        await erp.execute("insert into item values (1, 'x')")
        (listed,) = await erp.fetch("select * from outbox.captures")
        assert dict(listed) == {
            "table": "item",
            "type": "b",
            "key": ["owner_id", "id"],
            "identity": ["id"],
            "columns": ["note", "owner_id", "id"],
            "exclude": None,
            "ordered": True,
            "version": 1,
            "max_payload_bytes": 15_728_640,
            "is_enabled": True,
        }
        await erp.execute("alter table item disable trigger all")
        assert await erp.fetchval("select is_enabled from outbox.captures") is False
        await erp.execute("alter table item enable trigger all")
        assert await erp.fetchval("select outbox.release_capture('item')") is True
        assert await erp.fetchval("select outbox.release_capture('item')") is False
        await erp.execute("insert into item values (2, 'x')")
        assert await erp.fetch(_KEYS) == [("b.created", "1/1")]
        assert await erp.fetchval("select count(*) from outbox.captures") == 0


async def test_a_capture_gives_up_when_the_table_is_in_use_and_changes_nothing(database: Database) -> None:
    async with database.connection() as erp, database.connection() as busy:
        await erp.execute(_TABLES)
        await erp.execute("alter function outbox.capture set lock_timeout = '50ms'")
        async with busy.transaction():
            await busy.execute("insert into item values (1, 'x')")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await erp.execute("select outbox.capture('item', type => 'a', key => 'id')")
        assert await erp.fetchval("select count(*) from outbox.captures") == 0


async def test_rows_that_move_between_partitions_are_told_once(database: Database) -> None:
    async with database.connection() as erp:
        await erp.execute(_TABLES)
        await erp.execute("create table low (name text, id int not null)")
        await erp.execute("alter table parted attach partition low for values from (0) to (10)")
        await erp.execute("select outbox.capture('parted', type => 'p', key => 'id')")
        await erp.execute("insert into parted values (1, 'a'), (50, 'b')")
        await erp.execute("update parted set id = id + 20, name = name || '!' where id = 1")
        assert await erp.fetch(_KEYS) == [
            ("p.created", "1"),
            ("p.created", "50"),
            ("p.deleted", "1"),
            ("p.created", "21"),
        ]
        if erp.get_server_version().major >= 15:
            with pytest.raises(
                asyncpg.FeatureNotSupportedError, match=r"does not tell which rows of public\.parted"
            ) as caught:
                await erp.execute(
                    "merge into parted p using generate_series(49, 50) s (id) on p.id = s.id"
                    " when matched then update set name = 'm' when not matched then insert values (s.id, 'm')"
                )
            assert "ON CONFLICT DO UPDATE" in str(caught.value.hint)


async def test_only_the_owner_of_a_table_may_have_it_captured(database: Database) -> None:
    async with login(database, "outbox_writer") as url, connected(url) as writer:
        await database.value("create table t (id int primary key)")
        await database.value("grant all on t to outbox_writer")
        with pytest.raises(
            asyncpg.InsufficientPrivilegeError, match=r"only the owner of public\.t may have it captured"
        ) as caught:
            await writer.execute("select outbox.capture('t', type => 't', key => 'id')")
        assert caught.value.hint == "do it as postgres"
        await database.value("select outbox.capture('t', type => 't', key => 'id')")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="must be owner of relation t"):
            await writer.execute("select outbox.release_capture('t')")


async def test_an_owner_without_other_rights_captures_and_a_user_without_any_is_captured(database: Database) -> None:
    """The schema is migrated by a plain user; the table is of another one, with row security; a third writes."""
    async with owned_database(database.url) as url:
        await migrate(PostgresServer(url))
        name = url.rpartition("/")[2]
        group, clerk = f"{name}_erp", f"{name}_clerk"
        admin = await asyncpg.connect(with_database(database.url, name))
        try:
            await admin.execute(
                f"""
                create role {group} login password 'pw'; grant outbox_writer to {group};
                create role {clerk} login password 'pw';
                create schema erp authorization {group};
                """
            )
            async with connected(with_user(url, group, "pw")) as owner:
                await owner.execute(
                    f"""
                    create table erp.item (id int primary key, tenant text not null);
                    alter table erp.item enable row level security;
                    alter table erp.item force row level security;
                    create policy mine on erp.item using (tenant = current_user);
                    grant usage on schema erp to {clerk};
                    grant select, insert, update, delete on erp.item to {clerk};
                    select outbox.capture('erp.item', type => 'item', key => 'id');
                    """
                )
            async with connected(with_user(url, clerk, "pw")) as writer:
                await writer.execute("insert into erp.item values (1, current_user)")
                await writer.execute("update erp.item set id = 2")
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await writer.execute("select outbox.emit('t', 'k', '{}')")
            assert await admin.fetch(_KEYS) == [("item.created", "1"), ("item.deleted", "1"), ("item.created", "2")]
        finally:
            await admin.execute(f"drop owned by {group}, {clerk} cascade; drop role {clerk}; drop role {group}")
            await admin.close()


async def test_events_of_a_shared_key_get_their_ids_in_the_order_of_commit(database: Database) -> None:
    async with database.connection() as first, database.connection() as second, asyncio.TaskGroup() as group:
        await first.execute(_TABLES)
        await first.execute("select outbox.capture('item', type => 'item', key => 'owner_id', ordered => true)")
        transaction = first.transaction()
        await transaction.start()
        await first.execute("insert into item values (1, 'first', null, 7)")
        # Another key waits for nobody; the same key does, though its row is another one.
        await second.execute("insert into item values (2, 'other', null, 8)")
        waiting = group.create_task(
            second.execute("insert into item values (3, 'second', null, 8), (4, 'second', null, 7)")
        )
        pid = second.get_server_pid()
        blocked = "select pg_blocking_pids($1) = array[$2::int]"
        await until(
            lambda: database.value(blocked, pid, first.get_server_pid()),
            what="the second transaction waits for the key",
        )
        await first.execute("insert into item values (5, 'first', null, 7)")
        await transaction.commit()
        await waiting
    told = await database.rows(
        "select key, payload -> 'new' ->> 'name' as name from outbox.event where key = '7' order by id"
    )
    assert [row["name"] for row in told] == ["first", "first", "second"]


async def test_a_bulk_of_ordered_keys_holds_few_locks(database: Database) -> None:
    held = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
    async with database.connection() as erp:
        await erp.execute(_TABLES)
        await erp.execute("select outbox.capture('item', type => 'item', key => 'owner_id', ordered => true)")
        counts: list[int] = []
        for rows in (100, 20_000):
            async with erp.transaction():
                await erp.execute(
                    "insert into item select n, 'x', null, n from generate_series($1::int, $1::int + $2::int - 1) n",
                    rows,
                    rows,
                )
                counts.append(await erp.fetchval(held))
                await erp.execute(
                    "select outbox.emit('t', 'k' || n, '1', ordered => true) from generate_series(1, 9) n"
                )
        counts.append(await erp.fetchval(held))
        await erp.execute("select outbox.capture('item', type => 'item', key => 'id', ordered => true)")
        async with erp.transaction():
            await erp.execute("update item set name = 'y' where id < 150")
            counts.append(await erp.fetchval(held))
    # One for each key and the shared one on all; the one on all; none any more; none, as the rows' own locks suffice.
    assert counts == [101, 1, 0, 0]
