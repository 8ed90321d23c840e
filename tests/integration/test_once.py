"""A service takes each message once: the note and what it changes are one transaction, in whichever library."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import django.db.utils
import psycopg
import pytest
import sqlalchemy

from outbox.client import NotInTransaction, Taken, once, once_sync
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.libraries import EACH, Functions, Library
from tests.kit.service import install, service_database
from tests.kit.shared_servers import Addresses
from tests.kit.waiting import until

ONCE = Functions(once, once_sync)
TAKEN = "select consumer, message_id from once.message order by 1, 2"
TAKE = "select once.take('billing', $1, $2, $3)"


class RolledBack(Exception):
    """Raised to end a transaction."""


@pytest.fixture
async def service(servers: Addresses) -> AsyncIterator[Database]:
    async with service_database(servers.pg_url) as database:
        yield database


@EACH
async def test_a_message_is_new_once_it_is_rolled_back_with_its_transaction_and_a_later_one_makes_it_stale(
    service: Database, library: Library
) -> None:
    first, later, old = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    answers: list[Taken] = []
    with suppress(RolledBack):
        async with library.transaction(service.url, ONCE) as call:
            answers.append(await call("billing", first))
            raise RolledBack
    for _ in range(2):
        async with library.transaction(service.url, ONCE) as call:
            answers.append(await call("billing", str(first)))
    async with library.transaction(service.url, ONCE) as call:
        answers.append(await call("shipping", first))
        answers.append(await call("billing", later, key="SO-1", sequence=2**40 + 1))
        answers.append(await call("billing", old, key="SO-1", sequence=2**40))

    assert answers == [Taken.NEW, Taken.NEW, Taken.DUPLICATE, Taken.NEW, Taken.NEW, Taken.STALE]
    assert [bool(answer) for answer in answers] == [True, True, False, True, True, False]
    rows = [(row["consumer"], row["message_id"]) for row in await service.rows(TAKEN)]
    assert rows == sorted([("billing", str(one)) for one in (first, later, old)] + [("shipping", str(first))])


@EACH
async def test_a_note_that_would_commit_by_itself_is_refused_and_so_is_a_message_without_an_id(
    service: Database, library: Library
) -> None:
    async with library.autocommit(service.url, ONCE) as call:
        with pytest.raises(NotInTransaction, match=r"next step: open one around once\(\) and the change"):
            await call("billing", "m-1")
    refusals = (asyncpg.PostgresError, psycopg.Error, sqlalchemy.exc.DBAPIError, django.db.utils.Error)
    for arguments, said in (
        (("billing", None), "without the id of a message"),
        (("", "m-1"), "without the name of a consumer"),
    ):
        with pytest.raises(refusals, match=said):
            async with library.transaction(service.url, ONCE) as call:
                await call(*arguments)
    with pytest.raises(refusals, match="with a key and without a sequence"):
        async with library.transaction(service.url, ONCE) as call:
            await call("billing", "m-1", key="SO-1")
    assert await service.rows(TAKEN) == []


async def test_only_what_a_message_lacks_is_an_error_of_its_data(service: Database) -> None:
    async with service.connection() as connection:
        for arguments in ((None, None, None), ("", None, None), ("m-1", "SO-1", None)):
            with pytest.raises(asyncpg.DataError):
                await connection.fetchval(TAKE, *arguments)
        for consumer in (None, "", "c" * 64):
            with pytest.raises(asyncpg.PostgresError, match="name of a consumer") as refused:
                await connection.fetchval("select once.take($1, 'm-1')", consumer)
            assert refused.value.sqlstate == "OB030"


@pytest.mark.parametrize("does_commit", [True, False])
@pytest.mark.parametrize(
    ("other", "after_commit", "after_rollback"),
    [
        (("m-1", "SO-1", 7), "duplicate", "new"),
        (("m-0", "SO-1", 6), "stale", "new"),
        (("m-2", "SO-1", 8), "new", "new"),
    ],
    ids=["the same message", "an earlier one of the key", "a later one of the key"],
)
async def test_whoever_takes_at_the_same_moment_waits_and_is_told_what_came_of_the_first(
    service: Database, other: tuple[str, str, int], after_commit: str, after_rollback: str, *, does_commit: bool
) -> None:
    async with service.connection() as first, service.connection() as second:
        transaction = first.transaction()
        await transaction.start()
        assert await first.fetchval(TAKE, "m-1", "SO-1", 7) == "new"
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(second.fetchval(TAKE, *other))
            await _waits(service, second)
            assert not answer.done()
            await (transaction.commit() if does_commit else transaction.rollback())
        assert answer.result() == (after_commit if does_commit else after_rollback)


async def test_keys_do_not_wait_for_each_other(service: Database) -> None:
    async with service.connection() as first, service.connection() as second, first.transaction():
        assert await first.fetchval(TAKE, "m-1", "SO-1", 1) == "new"
        assert await second.fetchval(TAKE, "m-2", "SO-2", 2) == "new"


@pytest.mark.parametrize("other", [("m-1", None, None), ("m-2", "SO-1", 1)], ids=["message", "key"])
async def test_under_repeatable_read_a_message_taken_meanwhile_is_an_error_to_be_tried_again(
    service: Database, other: tuple[str, str | None, int | None]
) -> None:
    async with service.connection() as first, service.connection() as second:
        transaction = second.transaction(isolation="repeatable_read")
        await transaction.start()
        await second.fetchval("select 1")
        await first.fetchval(TAKE, "m-1", "SO-1", 2)
        with pytest.raises(asyncpg.SerializationError):
            await second.fetchval(TAKE, *other)
        await transaction.rollback()
        async with second.transaction(isolation="repeatable_read"):
            assert await second.fetchval(TAKE, *other) in {"duplicate", "stale"}


async def test_what_was_taken_long_ago_is_forgotten_in_small_steps_and_its_key_with_it(service: Database) -> None:
    async with service.connection() as connection:
        for number in range(1, 6):
            await connection.fetchval(TAKE, f"m-{number}", f"SO-{number % 2}", number)
        await connection.fetchval(TAKE, "plain", None, None)
        await connection.execute("update once.message set taken_at = now() - interval '91 days' where sequence < 5")
        steps = [await connection.fetchval("select once.prune(max_messages => 3)") for _ in range(3)]
        # SO-1 is remembered by m-5, which is young; the last one of SO-0 was m-4.
        assert steps == [3, 1, 0]
        assert await connection.fetch("select key, sequence from once.key") == [("SO-1", 5)]
        assert await connection.fetch("select message_id from once.message order by 1") == [("m-5",), ("plain",)]
        assert await connection.fetchval(TAKE, "m-1", "SO-1", 1) == "stale"
        assert await connection.fetchval(TAKE, "m-4", "SO-0", 4) == "new"


async def test_forgetting_waits_for_nobody_and_keeps_the_message_of_a_key_that_somebody_holds(
    service: Database,
) -> None:
    async with service.connection() as taker, service.connection() as pruner:
        await taker.fetchval(TAKE, "m-1", "SO-1", 1)
        await taker.execute("update once.message set taken_at = now() - interval '91 days'")
        transaction = taker.transaction()
        await transaction.start()
        assert await taker.fetchval(TAKE, "m-2", "SO-1", 2) == "new"
        assert await pruner.fetchval("select once.prune()") == 0
        await transaction.rollback()
        assert await pruner.fetchval("select once.prune()") == 1
        assert await pruner.fetchval("select count(*) from once.key") == 0


async def test_a_hot_key_makes_no_dead_index_entries(service: Database) -> None:
    async with service.connection() as connection, connection.transaction():
        for number in range(50):
            await connection.fetchval(TAKE, f"m-{number}", "SO-1", number)
        counted = "select n_tup_upd, n_tup_hot_upd from pg_stat_xact_user_tables where relid = 'once.key'::regclass"
        assert await connection.fetch(counted) == [(49, 49)]


async def test_the_printed_sql_can_be_run_again_and_gives_nobody_else_a_right(service: Database, cli: Cli) -> None:
    async with service.connection() as connection:
        await connection.fetchval(TAKE, "m-1", None, None)
        await connection.execute((await cli("once", "sql")).out)
        await install(service)
        assert await connection.fetchval(TAKE, "m-1", None, None) == "duplicate"
        public = "select has_function_privilege('public', f.oid, 'execute') from pg_proc f join pg_namespace n"
        rights = await connection.fetch(f"{public} on n.oid = f.pronamespace where n.nspname = 'once'")
        assert [tuple(row) for row in rights] == [(False,), (False,)]


async def _waits(database: Database, connection: asyncpg.Connection) -> None:
    pid = connection.get_server_pid()

    async def is_waiting() -> object:
        return await database.value("select cardinality(pg_blocking_pids($1)) > 0", pid)

    await until(is_waiting, what="the second transaction waits for the first")
