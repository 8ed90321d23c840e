"""What the intake keeps in the database: for how long, how much of it, by which plan, and who may touch it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import asyncpg
import pytest

from outbox.intake.forget import Forgetter
from outbox.intake.refusals import Refusals
from outbox.model.errors import AccessRefused, EventRefused
from outbox.model.intake import Draft, RefusedNote, Taken, TakenState
from outbox.model.intake_events import IntakeForgot
from outbox.model.lifecycle import Lifecycle
from outbox.postgres.connection import PostgresServer
from outbox.postgres.intake_store import IntakeStore
from outbox.supervisor import Pulse, Stop
from tests.integration.test_permissions import allowed, login
from tests.kit.database import Database
from tests.kit.intake import intake_settings, order, partner_of
from tests.kit.waiting import until

NO_WAIT = 5.0


def draft(name: str, *, source: str = "shop", **changes: object) -> Draft:
    values: dict[str, object] = {
        "source": source, "name": name, "body_sha256": hashlib.sha256(b"{}").digest(), "type": "a.b", "version": 1,
        "key": None, "payload": "{}", "headers": "{}", "signed_at_seconds": None, "window_seconds": 300.0,
        "remember_seconds": 3600.0, "is_command": False,
    }  # fmt: skip
    return Draft(**(values | changes))  # type: ignore[arg-type]


async def take(database: Database, *drafts: Draft) -> list[Taken]:
    async with IntakeStore(database.server).session() as session:
        return await session.take(drafts, NO_WAIT)


async def forget(database: Database, *, rows: int = 10_000, seconds: float = 3600.0) -> list[Lifecycle]:
    """Run the forgetter until it has nothing more to do."""
    events: list[Lifecycle] = []
    stop = Stop()
    forgetter = Forgetter(
        IntakeStore(database.server), refused_rows=rows, refused_seconds=seconds, report=events.append
    )

    async def is_done() -> bool:
        return not await database.value(
            "select exists (select from intake.received where keep_until < now())"
            " or exists (select from intake.refused group by source having count(*) > $1)"
            " or exists (select from intake.refused where refused_at < now() - make_interval(secs => $2))",
            rows,
            seconds,
        )

    async with asyncio.TaskGroup() as group:
        group.create_task(forgetter.run(stop, Pulse()))
        await until(is_done, what="nothing is left to be forgotten")
        stop.set()
    return events


async def test_a_name_is_known_until_its_time_is_over_and_is_new_afterwards(database: Database) -> None:
    (first,) = await take(database, draft("a"))
    (again,) = await take(database, draft("a"))
    assert (first.state, again.state, again.event_id) == (TakenState.NEW, TakenState.KNOWN, first.event_id)
    await forget(database)
    assert (await take(database, draft("a")))[0].state is TakenState.KNOWN

    await database.value("update intake.received set keep_until = now() - interval '1 second'")
    assert IntakeForgot(1, 0) in await forget(database)
    (later,) = await take(database, draft("a"))
    assert later.state is TakenState.NEW
    assert later.event_id != first.event_id


async def test_a_group_answers_for_each_place_whatever_is_among_it(database: Database) -> None:
    await take(database, draft("known"))
    other = hashlib.sha256(b"other").digest()
    now = float(str(await database.value("select extract(epoch from now())")))
    taken = await take(
        database,
        draft("z"),
        draft("known"),
        draft("known", body_sha256=other),
        draft("a", key="k"),
        draft("a", body_sha256=other),
        draft("a", source="pay"),
        draft("late", signed_at_seconds=now - 301),
        draft("early", signed_at_seconds=now + 320),
        draft("fine", signed_at_seconds=now - 290),
    )
    assert [one.state.value for one in taken] == [
        *("new", "known", "changed", "new", "changed", "new", "stale", "early", "new"),
    ]
    assert taken[4].event_id == taken[3].event_id != taken[5].event_id
    assert (taken[6].event_id, taken[7].event_id) == (None, None)
    rows = await database.rows("select event_id::text, key from outbox.event order by id")
    assert [row["event_id"] for row in rows][1:] == [taken[place].event_id for place in (0, 3, 5, 8)]
    assert await database.value("select count(*) from intake.received where name in ('late', 'early')") == 0


async def test_a_name_that_is_forgotten_while_its_group_is_taken_is_still_its_first_event(database: Database) -> None:
    (first,) = await take(database, draft("old"))
    async with database.connection() as connection:
        # In the middle, where whoever forgets may come in.
        await connection.execute(
            "create function public.forget_old() returns trigger language plpgsql as"
            " $$ begin delete from intake.received where name = 'old'; return null; end $$"
        )
        await connection.execute(
            "create trigger forgets after insert on outbox.event execute function public.forget_old()"
        )
    known, new = await take(database, draft("old"), draft("new"))
    assert known == Taken(TakenState.KNOWN, first.event_id)
    assert new.state is TakenState.NEW
    assert await database.value("select count(*) from intake.received where name = 'old'") == 0


async def test_two_groups_with_the_same_names_in_opposite_orders_never_wait_for_each_other(database: Database) -> None:
    store = IntakeStore(database.server)
    drafts = [draft(f"n-{place:02}") for place in range(40)]
    async with store.session() as one, store.session() as other, database.connection() as stranger:
        transaction = stranger.transaction()
        await transaction.start()
        # Both come to a stop with a part of the names: what each has then, the other one wants.
        await stranger.execute(
            "insert into intake.received (source, name, event_id, body_sha256, keep_until)"
            " values ('shop', 'n-20', gen_random_uuid(), sha256(''), now() + interval '1 day')"
        )
        async with asyncio.TaskGroup() as group:
            forth = group.create_task(one.take(drafts, 30))
            await until(lambda: waiting_for_locks(database, 1), what="the first group waits")
            back = group.create_task(other.take(drafts[::-1], 30))
            await until(lambda: waiting_for_locks(database, 2), what="the second group waits")
            await transaction.rollback()
    assert [taken.event_id for taken in forth.result()] == [taken.event_id for taken in back.result()][::-1]
    assert await database.value("select count(*) from outbox.event") == 40


async def waiting_for_locks(database: Database, sessions: int) -> bool:
    waiting = await database.value(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    )
    return waiting == sessions


@pytest.mark.parametrize(
    "changes",
    [{"type": "a b"}, {"key": "k\n"}, {"version": 0}, {"payload": "{"}, {"payload": '"\0"'}, {"headers": "[]"}],
)
async def test_what_the_outbox_cannot_hold_takes_nothing_of_its_group(
    database: Database, changes: dict[str, object]
) -> None:
    with pytest.raises(EventRefused) as caught:
        await take(database, draft("a"), draft("b", **changes))
    assert caught.value.__cause__ is None
    assert await database.value("select count(*) from outbox.event") == 0
    assert await database.value("select count(*) from intake.received") == 0


async def test_taking_touches_as_many_rows_as_it_takes_also_with_plans_made_on_empty_tables(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("alter table intake.received set (autovacuum_enabled = off)")
        async with IntakeStore(database.server).session() as session:
            await session.take([draft("first")], NO_WAIT)
            await connection.execute(
                "insert into intake.received (source, name, event_id, body_sha256, keep_until)"
                " select 'shop', n::text, gen_random_uuid(), sha256(''), now() from generate_series(1, 20000) n"
            )
            await session.take([draft(f"x{number}") for number in range(50)], NO_WAIT)

    async def looked() -> asyncpg.Record | None:
        # A session tells its statistics when it ends.
        (seen,) = await database.rows(
            "select idx_scan, seq_tup_read from pg_stat_user_tables where relname = 'received'"
        )
        return seen if seen["idx_scan"] else None

    seen = await until(looked, what="the statistics are told")
    assert seen is not None
    assert seen["seq_tup_read"] == 0


async def test_a_flood_of_refusals_is_a_few_rows_and_the_newest_of_each_source_stay(database: Database) -> None:
    events: list[Lifecycle] = []
    refusals = Refusals(IntakeStore(database.server), events.append)
    for number in range(50_000):
        note = RefusedNote(
            "shop", "signature-invalid", 401, 1, 10, f"10.0.{number % 200}.1", "d", ("a,b", "host", "x" * 70)
        )
        refusals.note(note)
    refusals.close()
    await refusals.run(Stop(), Pulse())

    rows = await database.rows("select requests, remote, header_names from intake.refused")
    assert len(rows) == 21
    assert sum(row["requests"] for row in rows) == 50_000
    assert rows[0]["header_names"] == ["host"]

    await database.value(
        "insert into intake.refused"
        " (source, reason, status, requests, body_bytes, remote, detail, header_names, refused_at)"
        " select s, 'r', 400, 1, 0, '', '', '{}', now() - make_interval(mins => case s when 'old' then 90 else 0 end)"
        " from unnest('{shop,pay,old}'::text[]) s, generate_series(1, 1200) n"
    )
    await forget(database, rows=100)
    left = await database.rows("select source, count(*) from intake.refused group by source order by source")
    assert [(row["source"], row["count"]) for row in left] == [("pay", 100), ("shop", 100)]
    assert await database.value("select min(id) > 21 from intake.refused where source = 'shop'")


async def test_the_intake_needs_no_more_than_its_role(database: Database, tmp_path: Path) -> None:
    async with login(database, "outbox_intake") as url:
        async with partner_of(database, intake_settings(Database(url), tmp_path)) as partner:
            assert (await partner.partner(order())).status == 202
            assert (await partner.partner(b"[]")).status == 422
        async with IntakeStore(PostgresServer(url)).session() as session:
            await session.prune_received(1)
            await session.prune_refused(1, 1.0, 1)
    assert await database.value("select count(*) from intake.refused") == 1


async def test_the_intake_can_do_nothing_else(database: Database) -> None:
    statements = [
        "select 1 from outbox.event",
        "insert into outbox.event (type, payload) values ('a', '1')",
        "select outbox.emit('a', 'k', '1')",
        "select 1 from intake.received",
        "delete from intake.received",
        "delete from intake.refused",
        "insert into intake.refused default values",
        "select 1 from inbox.delivery",
        "select 1 from outbox.cursor",
    ]
    assert await allowed(database, "outbox_intake", statements) == []
    for group in ("outbox_writer", "outbox_relay", "outbox_adapter", "outbox_reader"):
        assert await allowed(database, group, ["select intake.prune_received(1)", "select 1 from intake.refused"]) == []


async def test_a_user_without_the_role_is_told_what_to_grant(database: Database) -> None:
    async with login(database) as url:
        with pytest.raises(AccessRefused, match="grant outbox_intake to this user"):
            async with IntakeStore(PostgresServer(url)).session() as session:
                await session.take([], NO_WAIT)


async def test_headers_and_payload_are_kept_as_they_are(database: Database) -> None:
    await take(database, draft("a", payload='{"n": 0.10}', headers=json.dumps({"intake_id": "ä"})))
    (row,) = await database.rows("select payload::text, headers::text from outbox.event")
    assert (row["payload"], json.loads(row["headers"])) == ('{"n": 0.10}', {"intake_id": "ä"})
    with pytest.raises(asyncpg.CheckViolationError):
        await database.value(
            "insert into intake.received (source, name, event_id, body_sha256, keep_until)"
            " values ('s', repeat('x', 256), gen_random_uuid(), sha256(''), now())"
        )
