"""A rebase as people do it: killed between its steps and done again, and for a part of the day."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone

import pytest

from outbox.model.errors import ExitCode
from tests.kit.outbox import Outbox
from tests.kit.waiting import until

EPOCHS = 1_000_000
_AGAIN = ("rebase", "--all", "--yes", "--json", "--why", "again")
_REBASING = "from pg_stat_activity where application_name = 'outbox-rebase' and datname = current_database()"
# Where a rebase waits, by what it waits for: before its first step, and between its first and its last one.
HOLDS = {
    "the first step": "select outbox.emit('order.changed', 'k0', '{}')::text",
    "the last step": "select stream from outbox.cursor for update",
}


async def restored(outbox: Outbox) -> set[str]:
    """Publish three events and commit four more; then the database is that of another server."""
    await outbox.publish(3)
    events = {message.message_id for message in outbox.tap.seen} | await outbox.emit(4)
    await outbox.database.value("update outbox.cursor set system_identifier = 42 returning 1")
    await outbox.relay_refuses()
    return events


@asynccontextmanager
async def held(outbox: Outbox, hold: str) -> AsyncIterator[set[str]]:
    """Hold what a rebase needs; gives the event that is committed with it."""
    async with outbox.database.connection() as connection, connection.transaction():
        answer = str(await connection.fetchval(hold))
        yield {answer} if "emit" in hold else set()


async def kill_a_rebase_that_waits(outbox: Outbox) -> None:
    process = await outbox.cli.start("rebase", "--all", "--yes", "--why", "killed")

    async def waits_or_has_ended() -> bool:
        waits = await outbox.database.value(f"select count(*) = 1 {_REBASING} and wait_event_type = 'Lock'")
        return bool(waits) or not process.is_running

    try:
        await until(waits_or_has_ended, what="the rebase waits for a lock")
        assert process.is_running, process.tail()
    finally:
        await process.kill()


@pytest.mark.parametrize("is_session_gone", [True, False], ids=["its session too", "its session goes on"])
@pytest.mark.parametrize("step", HOLDS)
async def test_a_rebase_that_is_killed_between_its_steps_is_done_again_and_nothing_is_lost(
    outbox: Outbox, step: str, *, is_session_gone: bool
) -> None:
    events = await restored(outbox)
    before = await outbox.database.value("select epoch from outbox.cursor")
    async with held(outbox, HOLDS[step]) as committed_later:
        await kill_a_rebase_that_waits(outbox)
        if is_session_gone:
            await outbox.database.value(f"select count(pg_terminate_backend(pid)) {_REBASING}")
    # Without the kill of its session, the server does what it was asked for, although nobody hears of it.
    await until(lambda: outbox.database.value(f"select count(*) = 0 {_REBASING}"), what="the session has ended")

    audit = await outbox.database.rows("select epoch, reason from outbox.rebase")
    cursor = await outbox.database.rows("select epoch, system_identifier = 42 as is_elsewhere from outbox.cursor")
    assert len(audit) == (1 if step == "the last step" and not is_session_gone else 0)
    assert [tuple(row) for row in cursor] == [(before + EPOCHS * len(audit), not audit)], "as a whole or not at all"
    if not audit:
        await outbox.relay_refuses()
    again = (await outbox.cli(*_AGAIN)).json()["rebased"]
    await outbox.publish(5)

    assert again["first_sequence"] == 1
    everything = {str(row["id"]) for row in await outbox.database.rows("select event_id as id from outbox.event")}
    assert everything >= events | committed_later
    assert set(outbox.tap.ids()) == everything
    # Those that were published before the restore once more, every other event once.
    assert len(outbox.tap.seen) == len(everything) + 3
    assert outbox.is_in_order()
    reasons = await outbox.database.rows("select reason from outbox.rebase order by epoch")
    assert [row["reason"] for row in reasons] == ["killed"] * len(audit) + ["again"]


def written(time: datetime) -> list[str]:
    """Write a time as people do: in UTC, with an offset, and without one, which means UTC."""
    utc = time.astimezone(UTC)
    india = time.astimezone(timezone(timedelta(hours=5, minutes=30)))
    return [utc.isoformat().replace("+00:00", "Z"), india.isoformat(), utc.strftime("%Y-%m-%d %H:%M:%S.%f")]


async def test_a_rebase_since_a_time_publishes_what_was_committed_from_then_on_again(outbox: Outbox) -> None:
    await outbox.publish(4)
    noon = await outbox.database.value("select clock_timestamp()")
    assert isinstance(noon, datetime)
    await outbox.publish(3)
    await outbox.database.value("update outbox.cursor set system_identifier = 42 returning 1")
    await outbox.emit(2)

    for since in written(noon):
        plan = (await outbox.cli("rebase", "--since", since, "--json")).json()["plan"]
        assert (plan["chosen"], plan["first_chosen"], plan["last_chosen"]) == (5, 5, 9), since
    done = await outbox.cli("rebase", "--since", written(noon)[0], "--yes", "--why", "a test")
    assert done.code == ExitCode.OK, done.err
    assert "range since: 5 events would be published again, sequence 5 to 9" in done.out
    await outbox.publish(1)

    *sequences, new = [message.sequence for message in outbox.tap.seen]
    assert sequences == [*range(1, 8), *range(5, 10)]
    assert new > 9
    audit = await outbox.database.rows("select choice, first_sequence, horizon, reason from outbox.rebase")
    assert [tuple(row) for row in audit] == [("since", 5, 9, "a test")]


async def test_a_rebase_since_a_time_after_every_event_publishes_only_what_is_new(outbox: Outbox) -> None:
    await outbox.publish(2)
    await outbox.emit(1)
    await outbox.database.value("update outbox.cursor set system_identifier = 42 returning 1")

    later = written(datetime.now(UTC) + timedelta(hours=1))[0]
    shown = await outbox.cli("rebase", "--since", later, "--yes", "--why", "a test")
    await outbox.publish(1)

    assert "range since: no event would be published again." in shown.out
    *sequences, new = [message.sequence for message in outbox.tap.seen]
    assert sequences == [1, 2]
    assert new > 3
