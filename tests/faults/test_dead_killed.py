"""A bulk retry of thousands is killed in the middle: done again, it goes on with what is left."""

from __future__ import annotations

from pathlib import Path

from outbox.model.errors import ExitCode
from outbox.postgres.inbox_store import InboxStore
from tests.kit.cli import Cli
from tests.kit.database import Database
from tests.kit.inbox import FLOW, LANES
from tests.kit.waiting import until

_DEAD = 3000
_RETRY = ("dead", "retry", "--all-matching", "--flow", FLOW, "--yes", "--rate", "1000/s", "--why", "INC-1")
_WORKING = "from pg_stat_activity where application_name = 'outbox-dead' and datname = current_database()"
# The first thousand are in another lane than the rest.
_POISON = """
insert into inbox.delivery (flow, message_id, sequence, type, version, key, lane, state, settled_at, reason,
                            reason_class)
select $1::text, 'm' || n, n, 't', 1, 'k' || n, (n > 1000)::integer, 'dead', now(), 'customer ' || n || ' unknown',
       'rejected'
  from generate_series(1, $2::int) n
"""


async def test_a_bulk_retry_that_is_killed_in_the_middle_is_done_again_and_nothing_happens_twice(
    database: Database, tmp_path: Path
) -> None:
    cli = Cli(tmp_path, database.url)
    async with InboxStore(database.server).session(FLOW) as session:
        await session.register(LANES)
    async with database.connection() as connection:
        await connection.execute(_POISON, FLOW, _DEAD)
    async with database.connection() as connection, connection.transaction():
        await connection.execute("select from inbox.lane where flow = $1 and lane = 1 for update", FLOW)
        process = await cli.start(*_RETRY)

        async def waits_in_the_middle() -> bool:
            done = await database.value("select count(*) from inbox.resolution")
            waits = await database.value(f"select count(*) {_WORKING} and wait_event_type = 'Lock'")
            return (done, waits) == (1000, 1) or not process.is_running

        try:
            await until(waits_in_the_middle, what="two batches are done, the third waits")
            assert process.is_running, process.tail()
        finally:
            await process.kill()
        await database.value(f"select count(pg_terminate_backend(pid)) {_WORKING}")
    counts = "select state || ' ' || count(*) from inbox.delivery group by state order by state"
    assert [row[0] for row in await database.rows(counts)] == ["dead 2000", "ready 1000"]

    again = await cli(*_RETRY)
    assert again.code == ExitCode.OK, again
    assert "tried again: 2000" in again.out
    assert [row[0] for row in await database.rows(counts)] == [f"ready {_DEAD}"]
    audited = await database.value("select count(*) from inbox.resolution where action = 'retry' and why = 'INC-1'")
    assert (audited, await database.value("select count(distinct delivery_id) from inbox.resolution")) == (_DEAD, _DEAD)
    spread = await database.value("select extract(epoch from max(due_at) - min(due_at))::float8 from inbox.delivery")
    assert isinstance(spread, float)
    assert spread >= (_DEAD - 1) / 1000, "the second run goes on behind what the first one had spread"
