"""Least privilege: each kind of process judges and tells with its own role, and nobody writes what stands by hand."""

from __future__ import annotations

import asyncpg
import pytest

from tests.kit.database import Database

_TELLING = (
    "select outbox.judge_alerts('flow a', '{late}', '[]', '[]', null, null, null, 0)",
    "select * from outbox.alert_grounds()",
    "select * from outbox.claim_notice('ops', 0, 60, 60, 10)",
    "select outbox.end_notice(1, 1, '{}', '{}', '{}', 0)",
    "select outbox.fail_notice(1, 1, 'x', 0)",
    "select outbox.prune_alerts(3600)",
)
_LOOKING = ("select * from outbox.alerts(true)", "select 1 from outbox.alert", "select 1 from outbox.alert_route")
_WRITING = (
    "insert into outbox.alert (subject) values ('x')",
    "update outbox.alert set over_at = now()",
    "delete from outbox.alert",
    "update outbox.alert_route set next_at = now()",
    "delete from outbox.alert_notice",
    "select outbox.due_notices(1, now(), 0)",
)


async def refused(database: Database, role: str, statements: tuple[str, ...]) -> list[str]:
    found = []
    async with database.connection() as connection:
        await connection.execute(f"set role {role}")
        for statement in statements:
            try:
                await connection.execute(statement)
            except asyncpg.InsufficientPrivilegeError:
                found.append(statement)
    return found


@pytest.mark.parametrize("role", ["outbox_relay", "outbox_adapter", "outbox_intake"])
async def test_each_kind_of_process_may_judge_and_tell_and_write_nothing_by_hand(database: Database, role: str) -> None:
    assert await refused(database, role, _TELLING) == []
    assert await refused(database, role, _WRITING) == list(_WRITING)
    assert await refused(database, role, _LOOKING) == (list(_LOOKING) if role == "outbox_intake" else [])


async def test_applications_and_readers_see_and_tell_nothing(database: Database) -> None:
    for role in ("outbox_writer", "outbox_reader"):
        everything = (*_TELLING, *_LOOKING, *_WRITING)
        assert await refused(database, role, everything) == list(everything)
