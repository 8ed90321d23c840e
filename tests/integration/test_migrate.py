"""`outbox migrate`: safe to repeat, at the same time too, and to break off; it says what it did or why it cannot."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from outbox.model.errors import ExitCode
from outbox.postgres.connection import PostgresServer
from outbox.postgres.migrate import MigrationReport, migrate
from outbox.postgres.scripts import functions, migrations
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.standby import Cluster, replicated_cluster
from tests.kit.urls import with_database, with_user

MIGRATIONS = [script.name for script in migrations()]
FUNCTIONS = [script.name for script in functions()]
VERSION = len(MIGRATIONS)
NOTHING = MigrationReport((), (), VERSION)
SCHEMAS = "select count(*) from pg_namespace where nspname like 'outbox%' or nspname = 'inbox'"

# The row of a function that is replaced, even by itself, has a new xmin.
INSTALLED = """
    select array_agg((p.oid, p.xmin)::text order by p.oid)
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace and n.nspname in ('outbox', 'inbox')
"""


async def test_a_first_run_tells_each_file_and_a_second_run_finds_nothing_to_do(
    cli: Cli, empty_database: Database
) -> None:
    cli = replace(cli, pg_url=empty_database.url)

    rehearsal, first, second = await cli("migrate", "--dry-run"), await cli("migrate"), await cli("migrate")

    steps = [f"migration {name}" for name in MIGRATIONS] + [f"function {name}" for name in FUNCTIONS]
    summary = f"schema version {VERSION}: {VERSION} migrations and {len(FUNCTIONS)} functions"
    assert rehearsal.out.splitlines() == [*steps, f"{summary} would be applied"]
    assert first.out.splitlines() == [*steps, f"{summary} applied"]
    assert second.out.splitlines() == [f"schema version {VERSION}: nothing to do"]
    assert {one.code for one in (rehearsal, first, second)} == {ExitCode.OK}


async def test_a_dry_run_leaves_nothing_behind(empty_database: Database) -> None:
    report = await migrate(empty_database.server, is_dry_run=True)

    assert report == MigrationReport(tuple(MIGRATIONS), tuple(FUNCTIONS), VERSION)
    assert await empty_database.value(SCHEMAS) == 0


async def test_four_processes_at_once_all_succeed_and_one_of_them_does_it(cli: Cli, empty_database: Database) -> None:
    cli = replace(cli, pg_url=empty_database.url)

    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(cli("migrate", "--json")) for _ in range(4)]

    reports = [call.result().json() for call in calls]
    assert sorted(len(report["applied"]) for report in reports) == [0, 0, 0, VERSION]
    assert sorted(len(report["replaced"]) for report in reports) == [0, 0, 0, len(FUNCTIONS)]
    assert {report["version"] for report in reports} == {VERSION}


async def test_a_second_run_replaces_no_function_and_waits_for_no_table(database: Database) -> None:
    before = await database.value(INSTALLED)
    async with database.connection() as erp, erp.transaction():
        await erp.execute("lock table outbox.event, outbox.cursor, inbox.delivery, inbox.lane in access exclusive mode")
        assert await migrate(database.server) == NOTHING
    assert await database.value(INSTALLED) == before


async def test_a_function_is_replaced_when_its_text_changed_and_no_other_is(cli: Cli, database: Database) -> None:
    await database.value(
        "create or replace function outbox.reject(rejected_sequence bigint, why text) returns void language sql as ''"
    )
    await database.value("update outbox_meta.installed set sha256 = 'of another text' where name = 'outbox.reject'")

    report = (await replace(cli, pg_url=database.url)("migrate", "--json")).json()

    assert report == {"version": VERSION, "applied": [], "replaced": ["outbox.reject"], "is_dry_run": False}
    body = await database.value("select prosrc from pg_proc where oid = 'outbox.reject'::regproc")
    assert "insert into outbox.rejected" in str(body)
    assert await migrate(database.server) == NOTHING


async def test_a_run_that_is_broken_off_leaves_nothing_half_done(empty_database: Database) -> None:
    class BrokenOff(Exception):
        pass

    def break_off(step: str) -> None:
        if step == "function outbox.emit":
            raise BrokenOff

    with pytest.raises(BrokenOff):
        await migrate(empty_database.server, on_step=break_off)

    assert await empty_database.value(SCHEMAS) == 0
    assert (await migrate(empty_database.server)).applied == tuple(MIGRATIONS)


async def test_a_schema_of_a_newer_release_is_refused(cli: Cli, database: Database) -> None:
    await database.value("insert into outbox_meta.installed (name, number, sha256) values ('9999_future', 9999, '')")

    message = (await replace(cli, pg_url=database.url)("migrate")).refusal(ExitCode.MISCONFIGURED)

    assert message.endswith(
        f": the outbox schema has version 9999, this program knows versions up to {VERSION} "
        "next step: run the newer release of outbox that migrated this database"
    )


async def test_a_migration_that_was_edited_after_its_release_is_refused(cli: Cli, database: Database) -> None:
    await database.value("update outbox_meta.installed set sha256 = 'of another text' where name = '0002_inbox'")

    message = (await replace(cli, pg_url=database.url)("migrate")).refusal(ExitCode.MISCONFIGURED)

    assert message.endswith(
        ": migration 0002_inbox was applied with another text next step: migrations are never edited once released: "
        "restore the file, and put the change into a new one"
    )


@asynccontextmanager
async def owned_database(pg_url: str) -> AsyncIterator[str]:
    """Make an empty database whose owner may do nothing else on the server; return the owner's URL."""
    name = f"owner_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(pg_url)
    try:
        await admin.execute(f"create role {name} login password 'pw'")
        await admin.execute(f"create database {name} owner {name} template template0")
        yield with_database(with_user(pg_url, name, "pw"), name)
    finally:
        await admin.execute(f"drop database if exists {name} with (force)")
        await admin.execute(f"drop role if exists {name}")
        await admin.close()


async def test_the_owner_of_a_database_can_migrate_it_without_being_superuser(database: Database) -> None:
    async with owned_database(database.url) as url:
        assert (await migrate(PostgresServer(url))).version == VERSION
        owner = await asyncpg.connect(url)
        assert await owner.fetchval("select outbox.emit('order.confirmed', 'k', '{}')")
        await owner.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with replicated_cluster() as cluster:
        yield cluster


@pytest.mark.xdist_group("standby")
async def test_a_role_that_is_missing_and_may_not_be_created_is_named_with_the_statement(
    cli: Cli, cluster: Cluster
) -> None:
    # Roles belong to the whole server: this is done on one that no other test uses.
    admin = await asyncpg.connect(cluster.primary_url)
    await admin.execute("alter role outbox_relay rename to hidden")
    try:
        async with owned_database(cluster.primary_url) as url:
            message = (await replace(cli, pg_url=url)("migrate")).refusal(ExitCode.ACCESS_REFUSED)
    finally:
        await admin.execute("alter role hidden rename to outbox_relay")
        await admin.close()

    assert message.endswith(
        "0003_roles.sql: role outbox_relay does not exist and this user may not create it "
        'next step: run "create role outbox_relay nologin" as a superuser, then migrate again'
    )
