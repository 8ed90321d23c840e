"""outbox.capture: what each kind of statement on a captured table tells, and how exactly."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from tests.kit.database import Database

_ORDER = """
create schema erp;
create table erp.sale_order (
    id int primary key, name text not null, amount numeric, state text not null default 'draft',
    partner_id int not null default 7
);
select outbox.capture('erp.sale_order', type => 'order', key => 'id');
"""
_EVENTS = "select id, type, key, version, payload from outbox.event order by id"


async def events(erp: asyncpg.Connection) -> list[tuple[str, str | None]]:
    return [(row["type"].removeprefix("order."), row["key"]) for row in await erp.fetch(_EVENTS)]


async def last(erp: asyncpg.Connection) -> Any:  # noqa: ANN401 - JSON is anything
    return json.loads((await erp.fetch(_EVENTS))[-1]["payload"], parse_float=str)


async def test_a_change_is_told_with_the_row_and_what_it_was_before(database: Database) -> None:
    async with database.connection() as erp:
        await erp.execute(_ORDER)
        await erp.execute("insert into erp.sale_order (id, name, amount) values (1, 'SO-1', 0.10)")
        await erp.execute("update erp.sale_order set state = 'sale', amount = 0.100 where id = 1")
        await erp.execute("delete from erp.sale_order")
        payloads = [row["payload"] for row in await erp.fetch(_EVENTS)]

        assert await events(erp) == [("created", "1"), ("updated", "1"), ("deleted", "1")]
    first = '{"id":1,"name":"SO-1","amount":0.10,"state":"draft","partner_id":7}'
    second = '{"id":1,"name":"SO-1","amount":0.100,"state":"sale","partner_id":7}'
    former = '"old":{"amount":0.10,"state":"draft"}'
    assert payloads == [
        f'{{"op":"created","identity":{{"id":1}},"new":{first}}}',
        f'{{"op":"updated","identity":{{"id":1}},"changed":["amount", "state"],"new":{second},{former}}}',
        f'{{"op":"deleted","identity":{{"id":1}},"old":{second}}}',
    ]


async def test_every_value_is_told_exactly_whatever_the_writers_settings(database: Database) -> None:
    values = {
        "n": ("numeric", "'12345678901234567890.10'", "12345678901234567890.10"),
        "nan": ("numeric", "'NaN'", "NaN"),
        "endless": ("double precision", "'-Infinity'", "-Infinity"),
        "third": ("double precision", "1/3::float8", "0.3333333333333333"),
        "at": ("timestamptz", "'2026-01-02 03:04:05.6+02'", "2026-01-02T01:04:05.6+00:00"),
        "never": ("timestamp", "'infinity'", "infinity"),
        "span": ("interval", "'1 day 02:00'", "P1DT2H"),
        "during": ("tstzrange", "'[2026-01-02 00:00+02,)'", '["2026-01-01 22:00:00+00",)'),
        "blob": ("bytea", r"'\x00ff'", r"\x00ff"),
        "big": ("bigint", "9007199254740993", 9007199254740993),
        "nothing": ("text", "null", None),
        "odd": ("json", r"""'{"a":  "\\u0000 \u0000 \ud800 \ud83d\ude00"}'""", {"a": "\\u0000 \ufffd \ufffd 😀"}),
        "tags": ("text[]", "array['a', null]", ["a", None]),
        'qu"oted': ("text", "'new_rows'", "new_rows"),
    }
    columns = ", ".join(f'"{name.replace(chr(34), chr(34) * 2)}" {kind}' for name, (kind, _, _) in values.items())
    async with database.connection() as erp:
        await erp.execute(
            f"create table t (id int primary key, {columns}, twice int generated always as (id * 2) stored)"
        )
        await erp.execute("select outbox.capture('t', type => 't', key => 'id')")
        await erp.execute("set timezone = 'Asia/Kolkata'; set bytea_output = 'escape'; set datestyle = 'SQL, DMY'")
        await erp.execute("set extra_float_digits = -5; set intervalstyle = 'sql_standard'")
        await erp.execute(f"insert into t values (1, {', '.join(sql for _, sql, _ in values.values())})")
        told = await last(erp)
        assert told["new"] == {"id": 1, **{name: value for name, (_, _, value) in values.items()}, "twice": 2}

        await erp.execute("update t set n = null, nothing = 'x', odd = '{}', id = 1")
        told = await last(erp)
    assert told["old"] == {"n": "12345678901234567890.10", "nothing": None, "odd": values["odd"][2]}
    assert told["changed"] == ["n", "nothing", "odd"]


async def test_an_update_that_changes_nothing_tells_nothing(database: Database) -> None:
    async with database.connection() as erp:
        await erp.execute(_ORDER)
        await erp.execute("insert into erp.sale_order (id, name) select n, 'SO' from generate_series(1, 3) n")
        await erp.execute("update erp.sale_order set name = name, amount = null")
        await erp.execute("update erp.sale_order set amount = 1 where id = 9")
        await erp.execute("update erp.sale_order set amount = 1 where id >= 2")
        assert await events(erp) == [
            ("created", "1"),
            ("created", "2"),
            ("created", "3"),
            ("updated", "2"),
            ("updated", "3"),
        ]


async def test_a_changed_identity_is_one_row_gone_and_another_come(database: Database) -> None:
    async with database.connection() as erp:
        await erp.execute(_ORDER)
        # Written from the last to the first, so that each id is free when it is taken.
        await erp.execute("insert into erp.sale_order (id, name) values (3, 'c'), (2, 'b'), (1, 'a')")
        await erp.execute("update erp.sale_order set id = id + 1")
        assert (await events(erp))[3:] == [("deleted", "1"), ("created", "4"), ("updated", "3"), ("updated", "2")]
        told = [json.loads(row["payload"]) for row in await erp.fetch(_EVENTS)][3:]
    assert [event.get("old", {}).get("name") for event in told] == ["a", None, "c", "b"]
    assert [event.get("new", {}).get("name") for event in told] == [None, "c", "b", "a"]


async def test_every_way_to_write_is_captured(database: Database) -> None:
    async with database.connection() as erp:
        await erp.execute(_ORDER)
        await erp.copy_records_to_table(
            "sale_order", schema_name="erp", columns=["id", "name"], records=[(1, "a"), (2, "b")]
        )
        await erp.execute(
            "insert into erp.sale_order (id, name) values (2, 'B'), (3, 'c')"
            " on conflict (id) do update set name = excluded.name"
        )
        await erp.execute("insert into erp.sale_order (id, name) values (3, 'no') on conflict do nothing")
        await erp.fetch(
            "with gone as (delete from erp.sale_order where id = 1 returning *)"
            " insert into erp.sale_order select id, name || '!' from gone returning id"
        )
        async with erp.transaction():
            savepoint = erp.transaction()
            await savepoint.start()
            await erp.execute("delete from erp.sale_order")
            await savepoint.rollback()
            await erp.execute("update erp.sale_order set state = 'sale' where id = 3")
        if erp.get_server_version().major >= 15:
            await erp.execute(
                "merge into erp.sale_order o using generate_series(3, 5) s (id) on o.id = s.id"
                " when matched then delete when not matched then insert (id, name) values (s.id, 'm')"
            )
            assert sorted((await events(erp))[-3:]) == [("created", "4"), ("created", "5"), ("deleted", "3")]
        await erp.execute("truncate erp.sale_order")
        told = await events(erp)
    copied, upserted = [("created", "1"), ("created", "2")], [("updated", "2"), ("created", "3")]
    assert told[:7] == [*copied, *upserted, ("deleted", "1"), ("created", "1"), ("updated", "3")]
    assert told[-1] == ("truncated", None)


async def test_cascades_that_touch_a_row_twice_tell_its_first_and_last_state(database: Database) -> None:
    """A table of links is renumbered: on the way, rows take and leave identities that others had or will have."""
    async with database.connection() as erp:
        await erp.execute(
            """
            create table person (id int primary key);
            create table friend (
                a int references person on update cascade on delete cascade,
                b int references person on update cascade, note text, primary key (a, b));
            insert into person values (2), (1);
            insert into friend values (2, 2, 'r'), (2, 1, 'u'), (1, 1, 't'), (1, 2, 's');
            select outbox.capture('friend', type => 'order', key => '{a,b}');
            update person set id = id + 1;
            """
        )
        told = sorted(await events(erp))
        assert told[:3] == [("created", "2/3"), ("created", "3/2"), ("created", "3/3")]
        assert told[3:] == [("deleted", "1/1"), ("deleted", "1/2"), ("deleted", "2/1"), ("updated", "2/2")]
        rows = await erp.fetch("select payload from outbox.event where type = 'order.updated'")
        assert [json.loads(row["payload"])["new"]["note"] for row in rows] == ["t"]
        await erp.execute("delete from friend where b = 3; delete from person where id = 3")
        assert (await events(erp))[-1] == ("deleted", "3/2")


async def test_what_a_trigger_of_the_application_adds_comes_behind_what_caused_it(database: Database) -> None:
    async with database.connection() as erp:
        await erp.execute(_ORDER)
        await erp.execute(
            """
            create function erp.price() returns trigger language plpgsql as $$
            begin
                perform outbox.emit('order.priced', new.id::text, '{}');
                update erp.sale_order set amount = coalesce(amount, 0) + 1 where id = new.id;
                return null;
            end $$;
            create trigger a after insert or update of state on erp.sale_order
               for each row execute function erp.price();
            insert into erp.sale_order (id, name) values (1, 'a'), (2, 'b');
            update erp.sale_order set state = 'sale' where id = 2;
            """
        )
        rows = await erp.fetch(
            "select key, type, payload from outbox.event where type <> 'order.priced' order by key, id"
        )
    states = [(row["key"], row["type"], json.loads(row["payload"])["new"]["amount"]) for row in rows]
    assert states == [
        ("1", "order.created", None),
        ("1", "order.updated", 1),
        ("2", "order.created", None),
        ("2", "order.updated", 1),
        ("2", "order.updated", 1),
        ("2", "order.updated", 2),
    ]
    assert await database.value("select count(distinct event_id) = count(*) from outbox.event")


async def test_columns_that_come_go_and_change_their_names_break_nothing(database: Database) -> None:
    async with database.connection() as erp:
        await erp.execute(_ORDER)
        await erp.execute("insert into erp.sale_order (id, name) values (1, 'a')")
        await erp.execute("alter table erp.sale_order drop column state, add column note text default 'new'")
        await erp.execute("insert into erp.sale_order (id, name) values (2, 'b')")
        assert list((await last(erp))["new"]) == ["id", "name", "amount", "partner_id", "note"]
        await erp.execute(
            "alter table erp.sale_order rename column id to number; alter table erp.sale_order rename to so"
        )
        await erp.execute("update erp.so set note = 'x' where number = 2")
        assert await last(erp) == {
            "op": "updated",
            "identity": {"number": 2},
            "changed": ["note"],
            "new": {"number": 2, "name": "b", "amount": None, "partner_id": 7, "note": "x"},
            "old": {"note": "new"},
        }
        assert (await events(erp))[-1] == ("updated", "2")
        await erp.execute("alter table erp.so drop column number")
        with pytest.raises(asyncpg.UndefinedColumnError, match="captured by its column id, which is gone") as caught:
            await erp.execute("update erp.so set note = 'y'")
        assert "outbox.release_capture('erp.so')" in str(caught.value.hint)


async def test_only_what_is_asked_for_is_told(database: Database) -> None:
    async with database.connection() as erp:
        await erp.execute(_ORDER)
        await erp.execute(
            "select outbox.capture('erp.sale_order', type => 'order', key => 'id', columns => '{state}', version => 3)"
        )
        await erp.execute("insert into erp.sale_order (id, name) values (1, 'a')")
        assert await last(erp) == {"op": "created", "identity": {"id": 1}, "new": {"id": 1, "state": "draft"}}
        await erp.execute("update erp.sale_order set name = 'b', amount = 2")
        await erp.execute("update erp.sale_order set name = 'c', state = 'sale'")
        assert (await last(erp))["old"] == {"state": "draft"}
        await erp.execute(
            "select outbox.capture('erp.sale_order', type => 'order', key => 'id', exclude => '{id,name}')"
        )
        await erp.execute("update erp.sale_order set name = 'd'")
        await erp.execute("delete from erp.sale_order")
        assert list((await last(erp))["old"]) == ["id", "amount", "state", "partner_id"]
        assert await events(erp) == [("created", "1"), ("updated", "1"), ("deleted", "1")]
        assert await erp.fetchval("select version from outbox.event order by id limit 1") == 3


async def test_a_value_that_no_event_can_carry_fails_no_statement(database: Database) -> None:
    async with database.connection() as erp:
        await erp.execute(_ORDER)
        for key in ("{name,partner_id}", "name"):
            await erp.execute(
                "select outbox.capture('erp.sale_order', type => 'order', key => $1, max_payload_bytes => 300)", key
            )
            await erp.execute("truncate erp.sale_order; truncate outbox.event")
            names = ["a/b%", "", "tab\t", "k" * 600]
            await erp.executemany("insert into erp.sale_order (id, name) values ($1, $2)", list(enumerate(names)))
            keys = [row["key"] for row in await erp.fetch(_EVENTS)]
            if key == "name":
                assert keys[0] == "a/b%"
                assert all(len(one) == len("sha256:") + 64 and one.startswith("sha256:") for one in keys[1:])
            else:
                assert keys[:2] == ["a%2Fb%25/7", "/7"]
            assert len(set(keys)) == 4
            assert await last(erp) == {"op": "created", "identity": {"id": 3}, "payload_too_large": True}
            await erp.execute("update erp.sale_order set state = 'sale' where id = 3")
            told = {"op": "updated", "identity": {"id": 3}, "changed": ["state"], "payload_too_large": True}
            assert await last(erp) == told
