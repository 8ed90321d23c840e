"""Least privilege: each role does its job with the real command and nothing else; a refusal says what to grant."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from outbox.model.errors import ExitCode
from tests.kit.broker import Broker, manage
from tests.kit.cli import FLOW, Cli, one_flow
from tests.kit.database import Database
from tests.kit.urls import with_user

PASSWORD = "pw"
EMIT = ("emit", "order.confirmed", "SO-1", "{}")
DRAIN = ("relay", "--drain")
TO_PUBLISH_OR_CONSUME = "next step: grant outbox_relay (to publish) or outbox_adapter (to consume) to this user"


@asynccontextmanager
async def login(database: Database, *groups: str) -> AsyncIterator[str]:
    """Make a login role that is a member of these groups, and return its URL."""
    name = f"login_{uuid.uuid4().hex[:12]}"
    async with database.connection() as connection:
        await connection.execute(f"create role {name} login password '{PASSWORD}'")
        for group in groups:
            await connection.execute(f"grant {group} to {name}")
        try:
            yield with_user(database.url, name, PASSWORD)
        finally:
            await connection.execute(f"drop owned by {name}")
            await connection.execute(f"drop role {name}")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def allowed(database: Database, group: str, statements: list[str]) -> list[str]:
    """Return the statements for which a member of a group is not refused."""
    async with login(database, group) as url, connected(url) as member:
        return [statement for statement in statements if not await is_refused(member, statement)]


async def is_refused(connection: asyncpg.Connection, statement: str) -> bool:
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return True
    return False


async def test_a_writer_can_emit_by_insert_by_function_and_by_command(cli: Cli, database: Database) -> None:
    async with login(database, "outbox_writer") as url:
        async with connected(url) as writer:
            await writer.execute(
                "insert into outbox.event (type, version, key, payload, headers) values ('a', 2, 'k', '1', '{}')"
            )
            by_function = await writer.fetchval(
                "select outbox.emit('b', null, '2', ordered => true, idempotency_key => 'once')"
            )
        by_command = await replace(cli, pg_url=url)(*EMIT)

    rows = await database.rows("select type, event_id::text from outbox.event order by id")
    assert [row["type"] for row in rows] == ["a", "b", "order.confirmed"]
    assert [row["event_id"] for row in rows[1:]] == [str(by_function), by_command.out.strip()]


async def test_a_writer_can_do_nothing_else(database: Database) -> None:
    statements = [
        "select id from outbox.event",
        "insert into outbox.event (type, payload) values ('a', '1') returning id",
        "insert into outbox.event (id, type, payload) overriding system value values (1, 'a', '1')",
        "insert into outbox.event (tx, type, payload) values ('1', 'a', '1')",
        "insert into outbox.event (event_id, type, payload) values (gen_random_uuid(), 'a', '1')",
        "insert into outbox.event (created_at, type, payload) values (now(), 'a', '1')",
        "insert into outbox.event (payload_bytes, type, payload) values (default, 'a', '1')",
        "update outbox.event set type = 'b'",
        "delete from outbox.event",
        "truncate outbox.event",
        "select 1 from outbox.emitted",
        "insert into outbox.emitted (idempotency_key, event_id, body_sha256) values ('k', gen_random_uuid(), '')",
        "delete from outbox.emitted",
        "select outbox.prune_emitted('1 day')",
        "select outbox.lock_keys('{k}')",
        "select outbox.capture_order(1, '{a}', 0, 0)",
        "select 1 from outbox.cursor",
        "update outbox.cursor set position = 0",
        "insert into outbox.rejected (sequence, event_id, type, reason) values (1, gen_random_uuid(), 'a', 'b')",
        "select 1 from outbox_meta.installed",
        "select * from outbox.take_lead('outbox.event')",
        "select * from outbox.try_lead('outbox.event', 1, 1)",
        "select * from outbox.renew_lead('outbox.event', 0, 1)",
        "select * from inbox.status(1)",
        "insert into outbox.event_p0 (type, payload) values ('a', '1')",
        "select * from outbox.partitions()",
        "select * from outbox.empty_partitions('0 s')",
        "select nextval('outbox.event_id_seq')",
    ]
    assert await allowed(database, "outbox_writer", statements) == []


async def test_a_relay_can_change_no_event(database: Database) -> None:
    statements = [
        "insert into outbox.event (type, payload) values ('a', '1')",
        "update outbox.event set type = 'b'",
        "delete from outbox.event",
        "delete from outbox.rejected",
        "delete from outbox.cursor",
        "select outbox.emit('a', 'k', '1')",
        "delete from outbox.emitted",
        "select outbox.capture('outbox.event', 'a', 'id')",
        "truncate outbox.event_p0",
        "drop table outbox.event_p0",
        "update outbox.partition set sealed_by = '1'",
        "select setval('outbox.event_id_seq', 1)",
        "select 1 from inbox.delivery",
    ]
    assert await allowed(database, "outbox_relay", statements) == []


async def test_an_adapter_can_forget_no_delivery_and_no_attempt(database: Database) -> None:
    statements = [
        "select 1 from outbox.event",
        "delete from inbox.delivery",
        "update inbox.message set body = ''",
        "update inbox.attempt set outcome = 'applied'",
        "delete from inbox.attempt",
    ]
    assert await allowed(database, "outbox_adapter", statements) == []


async def test_a_reader_gets_a_payload_whose_two_ids_it_knows_and_nothing_else(database: Database) -> None:
    event_id = await database.value("select outbox.emit('a', 'k', '{ \"a\": 1.10 }')")
    async with login(database, "outbox_reader") as url, connected(url) as reader:
        assert await reader.fetchval("select outbox.payload(1, $1)", event_id) == b'{ "a": 1.10 }'
        assert await reader.fetchval("select outbox.payload(2, $1)", event_id) is None
        assert await reader.fetchval("select outbox.payload(1, gen_random_uuid())") is None
    statements = [
        "select 1 from outbox.event",
        "select 1 from outbox.rejected",
        "select 1 from outbox.cursor",
        "select outbox.emit('a', 'k', '1')",
        "select 1 from inbox.message",
    ]
    assert await allowed(database, "outbox_reader", statements) == []


async def test_a_relay_needs_no_more_than_its_role(cli: Cli, database: Database, broker: Broker) -> None:
    await database.value("select outbox.emit('order.confirmed', 'SO-1', '{}')")
    async with login(database, "outbox_relay") as url:
        ended = await replace(cli, pg_url=url, amqp_url=broker.url)(*DRAIN)

    assert ended.code == ExitCode.OK, ended
    assert await broker.depth("outbox.unrouted") == 1
    assert await database.value("select events from outbox.waiting('outbox.event', 10)") == 0


async def test_a_consumer_needs_no_more_than_its_role(cli: Cli, database: Database, broker: Broker) -> None:
    cli.settings(one_flow())
    async with (
        login(database, "outbox_adapter") as url,
        replace(cli, pg_url=url, amqp_url=broker.url).running("consume") as consumer,
    ):
        await consumer.logged("lanes", flow=FLOW)
        await database.value("select outbox.emit('order.confirmed', 'SO-1', '{}')")
        assert (await replace(cli, pg_url=database.url, amqp_url=broker.url)(*DRAIN)).code == ExitCode.OK
        await consumer.logged("attempt ended", flow=FLOW, outcome="target_down", state="retry")


@pytest.mark.parametrize(
    ("group", "verb", "refused", "next_step"),
    [
        ("outbox_relay", EMIT, "function emit", "next step: grant outbox_writer to this user"),
        ("outbox_adapter", EMIT, "function emit", "next step: grant outbox_writer to this user"),
        ("outbox_writer", DRAIN, "function try_lead", TO_PUBLISH_OR_CONSUME),
        ("outbox_adapter", DRAIN, "function try_lead", TO_PUBLISH_OR_CONSUME),
        ("outbox_relay", ("consume",), "schema inbox", TO_PUBLISH_OR_CONSUME),
        (
            "outbox_relay",
            ("status",),
            "schema inbox",
            "next step: grant outbox_relay and outbox_adapter to this user",
        ),
        (
            "outbox_relay",
            ("migrate",),
            "database test_",
            "next step: use a user who may create schemas in this database, for example its owner",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
async def test_a_role_is_refused_the_jobs_of_the_others(
    cli: Cli, database: Database, broker: Broker, group: str, verb: tuple[str, ...], refused: str, next_step: str
) -> None:
    cli.settings(one_flow())
    async with login(database, group) as url:
        message = (await replace(cli, pg_url=url, amqp_url=broker.url)(*verb)).refusal(ExitCode.ACCESS_REFUSED)

    assert f": permission denied for {refused}" in message
    assert message.endswith(next_step)


async def test_both_roles_together_can_see_the_status(cli: Cli, database: Database) -> None:
    async with login(database, "outbox_relay", "outbox_adapter") as url:
        ended = await replace(cli, pg_url=url)("status", "--json")

    assert ended.json()["stream"]["waiting"] == 0


@asynccontextmanager
async def amqp_user(broker: Broker, permissions: dict[str, str] | None) -> AsyncIterator[str]:
    """Make a user of the broker with permissions on the virtual host, or none there, and return the URL."""
    if broker.management_url is None:
        pytest.skip("needs the management plugin")
    name = f"user-{uuid.uuid4().hex[:12]}"
    await manage(broker.management_url, "PUT", f"/api/users/{name}", {"password": PASSWORD, "tags": ""})
    try:
        if permissions is not None:
            await manage(broker.management_url, "PUT", f"/api/permissions/{broker.vhost}/{name}", permissions)
        yield with_user(broker.url, name, PASSWORD)
    finally:
        await manage(broker.management_url, "DELETE", f"/api/users/{name}")


async def test_a_user_of_the_broker_who_may_not_use_the_virtual_host_is_refused(
    cli: Cli, database: Database, broker: Broker
) -> None:
    async with amqp_user(broker, None) as url:
        ended = await replace(cli, pg_url=database.url, amqp_url=url)(*DRAIN)

    message = ended.refusal(ExitCode.ACCESS_REFUSED)
    assert f"/{broker.vhost}: the virtual host was refused next step: check the virtual host" in message


@pytest.mark.parametrize(
    ("missing", "refused"),
    [
        ("configure", "access to exchange 'outbox.dead'"),
        ("write", "access to exchange 'outbox.unrouted'"),
        ("read", "access to exchange 'outbox.events'"),
    ],
)
async def test_a_permission_that_a_user_of_the_broker_lacks_is_named_with_its_object(
    cli: Cli, database: Database, broker: Broker, missing: str, refused: str
) -> None:
    permissions = {"configure": ".*", "write": ".*", "read": ".*"} | {missing: ""}
    async with amqp_user(broker, permissions) as url:
        ended = await replace(cli, pg_url=database.url, amqp_url=url)(*DRAIN)

    message = ended.refusal(ExitCode.ACCESS_REFUSED)
    # RabbitMQ 4 also names the permission.
    refusal = rf"ACCESS_REFUSED - ({missing} )?{re.escape(refused)} in vhost '{broker.vhost}' refused for user 'user-"
    assert re.search(refusal, message)
    assert message.endswith("next step: give the user configure, write and read on what the message names")


async def test_a_permission_that_is_taken_away_while_a_relay_runs_is_waited_for(
    cli: Cli, database: Database, broker: Broker
) -> None:
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    async with amqp_user(broker, everything) as url:
        assert broker.management_url is not None
        path = f"/api/permissions/{broker.vhost}/{url.partition('//')[2].partition(':')[0]}"
        async with replace(cli, pg_url=database.url, amqp_url=url).running("relay") as relay:
            await relay.logged("caught up")
            await manage(broker.management_url, "PUT", path, everything | {"write": ""})
            await database.value("select outbox.emit('order.confirmed', 'SO-1', '{}')")
            waiting = await relay.logged("service waiting", service="relay")
            await manage(broker.management_url, "PUT", path, everything)
            await relay.logged("page published", since=relay.mark())
    assert waiting["level"] == "error"
    assert "ACCESS_REFUSED" in waiting["reason"]
