"""The two steps of a rebase, and who may take them."""

from __future__ import annotations

import asyncpg
import pytest

from outbox.model.cursor import PageLimits
from outbox.model.errors import ExitCode
from outbox.postgres.outbox_store import OutboxStore
from tests.kit.cli import Cli
from tests.kit.database import Database

EMIT = "insert into outbox.event (type, key, payload) values ('t', 'k', '{}')"
REBASE = "select outbox.rebase('outbox.event', $1, null, null, $2, $3::text::pg_snapshot, $4, $5, 'a test')"


async def test_what_commits_between_the_two_steps_is_read_once(database: Database) -> None:
    async with database.connection() as connection, database.connection() as early:
        await connection.execute(EMIT)
        transaction = early.transaction()
        await transaction.start()
        await early.execute("select pg_current_xact_id()")
        parted = await connection.fetchrow("select * from outbox.rebase_boundary(null)")
        await connection.execute(EMIT)
        # Its transaction is older than the boundary, its event is not.
        await early.execute(EMIT)
        await transaction.commit()
        await connection.execute(REBASE, "resume", *parted)

    async with OutboxStore(database.server, PageLimits(10, 1 << 20, 1 << 20)).session() as session:
        lead = await session.try_lead()
        assert lead is not None
        cursor, read = lead.cursor, []
        for _ in range(3):
            batch = await session.begin_batch(cursor)
            cursor = cursor.begun(batch.current)
            read += [event.sequence for event in (await session.read_page(cursor, batch, cursor.position)).events]
            cursor = cursor.finished()
    assert read == [1, 2, 3]


async def test_the_role_of_the_relay_may_look_and_rebase(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(EMIT)
        await connection.execute("set role outbox_relay")
        plan = "select events from outbox.rebase_plan('outbox.event', 'all', null, null)"
        assert await connection.fetchval(plan) == 1
        parted = await connection.fetchrow("select * from outbox.rebase_boundary(null)")
        await connection.execute(REBASE, "all", *parted)
        assert await connection.fetchval("select choice from outbox.rebase") == "all"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("delete from outbox.rebase")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--all", "--nothing"), "--from, --since, --all and --nothing exclude each other"),
        (("--since", "yesterday"), "--since: 'yesterday' is no time; write it like 2026-03-31T22:00:00Z"),
        (("--yes",), "--why is missing: who reads the audit a year from now will ask"),
        (("--yes", "--why", ""), "--why is missing: who reads the audit a year from now will ask"),
    ],
)
async def test_a_call_that_makes_no_sense_is_refused(cli: Cli, arguments: tuple[str, ...], problem: str) -> None:
    assert (await cli("rebase", *arguments)).refusal(ExitCode.USAGE) == problem
