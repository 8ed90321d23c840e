"""Commands of own clients: one event for each Idempotency-Key, by the IETF's draft."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.kit.database import Database
from tests.kit.intake import OTHER_TOKEN, TOKEN, Partner, intake_settings, partner_of
from tests.kit.waiting import until

BODY = b'{"order": "SO-1", "why": "customer asked"}'
LOCK = "select pg_advisory_xact_lock(hashtextextended('commands.portal/' || $1, 7236843))"


@pytest.fixture
async def portal(database: Database, tmp_path: Path) -> AsyncIterator[Partner]:
    async with partner_of(database, intake_settings(database, tmp_path)) as ready:
        yield ready


async def test_a_command_is_taken_once_for_its_key_quoted_or_plain(portal: Partner) -> None:
    replies = [await portal.command(BODY, key=key) for key in ("k-1", '"k-1"', "k-1")]

    (event,) = await portal.events()
    assert [(reply.status, reply.document) for reply in replies] == [(202, {"event_id": event["event_id"]})] * 3
    assert (event["type"], event["key"], event["payload"].encode()) == ("order.cancel", "SO-1", BODY)


async def test_a_key_that_is_missing_empty_there_twice_or_none_is_refused(portal: Partner) -> None:
    assert (await portal.command(BODY)).problem == "idempotency-key-missing"
    for key in ('""', '"open', "a b", '"a";q=1', "k" * 256, '"\\x"', "schlüssel"):  # fmt: skip
        reply = await portal.command(BODY, key=key)
        assert (reply.status, reply.problem) == (400, "idempotency-key-malformed")
    assert await portal.events() == []


async def test_a_key_that_stands_for_another_body_or_type_is_refused(portal: Partner) -> None:
    first = await portal.command(BODY, key="k-1")
    for again in (
        await portal.command(BODY + b" ", key="k-1"),
        await portal.command(BODY, key="k-1", kind="order.hold"),
    ):
        assert (again.status, again.problem) == (422, "idempotency-key-reused")
    assert (await portal.command(BODY, key="k-1")).document == first.document
    assert len(await portal.events()) == 1


async def test_each_client_has_keys_of_its_own(portal: Partner) -> None:
    one = await portal.command(BODY, key="k-1", kind="order.hold")
    other = await portal.command(b"{}", key="k-1", kind="order.hold", token=OTHER_TOKEN)
    assert one.status == other.status == 202
    assert one.document != other.document


async def test_a_token_is_needed_and_opens_only_what_its_client_may_send(portal: Partner) -> None:
    for token in ("", "wrong", TOKEN + "x", TOKEN.upper(), "tökén"):
        reply = await portal.command(BODY, key="k-1", token=token)
        assert (reply.status, reply.problem, reply.headers["WWW-Authenticate"][:6]) == (401, "token-invalid", "Bearer")
    basic = await portal.command(BODY, key="k-1", Authorization=f"Basic {TOKEN}")
    assert basic.problem == "token-invalid"
    assert (await portal.command(BODY, key="k-1", token=OTHER_TOKEN)).problem == "command-not-allowed"
    assert (await portal.command(BODY, key="k-1", kind="order.unheard")).problem == "unknown-command"
    assert (await portal.command(BODY, key="k-1", token="an older token of the portal")).status == 202


async def test_while_the_first_is_under_way_its_key_is_in_progress_and_then_answers_the_same(portal: Partner) -> None:
    # The first waits for somebody who holds the table, in this process; the second is told at once.
    async with portal.database.connection() as connection, asyncio.TaskGroup() as group:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("lock table outbox.event in exclusive mode")
        first = group.create_task(portal.command(BODY, key="k-1"))
        await until(lambda: waits_for_a_lock(portal.database), what="the first waits")
        second = await portal.command(BODY, key="k-1")
        assert (second.status, second.problem, second.headers["Retry-After"]) == (
            409,
            "idempotency-key-in-progress",
            "1",
        )
        await transaction.rollback()

    assert first.result().status == 202
    assert (await portal.command(BODY, key="k-1")).document == first.result().document


async def test_a_key_that_another_process_is_taking_is_in_progress_until_that_one_ends(portal: Partner) -> None:
    # Whoever has the lock is gone with its connection, however it dies: the key is free again.
    holder = await asyncpg.connect(portal.database.url)
    await holder.execute("begin")
    await holder.execute(LOCK, "k-1")
    assert (await portal.command(BODY, key="k-1")).problem == "idempotency-key-in-progress"
    holder.terminate()

    async def is_free() -> bool:
        return (await portal.command(BODY, key="k-1")).status == 202

    await until(is_free, what="the key is free")
    assert len(await portal.events()) == 1


async def test_what_was_refused_leaves_its_key_free(portal: Partner) -> None:
    assert (await portal.command(b'{"order": 1e400}', key="k-1")).problem == "json-number-out-of-range"
    assert (await portal.command(b"{}", key="k-1")).problem == "key-unusable"
    assert (await portal.command(BODY, key="k-1")).status == 202


async def waits_for_a_lock(database: Database) -> bool:
    waiting = await database.value(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'outbox-intake'"
        " and datname = current_database()"
    )
    return waiting == 1
