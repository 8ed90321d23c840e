"""A wrong address, password or name of a server: one message that names the thing and the next step, and its code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outbox.model.errors import ExitCode
from sandbox.ports import free_ports
from tests.kit.broker import Broker
from tests.kit.cli import REFUSED_AMQP_URL, REFUSED_PORT, Cli, one_flow
from tests.kit.database import Database
from tests.kit.probe import answer_of, listens
from tests.kit.urls import port_of, with_database, with_user, with_vhost

ONE_SHOT = [("migrate",), ("emit", "order.confirmed", "k", "{}"), ("status",)]
TRY_AGAIN = "next step: check that it runs and that its address in the settings is right, then try again"
NOWHERE = "no-such-host.invalid"


@pytest.mark.parametrize("verb", ONE_SHOT, ids=lambda verb: verb[0])
async def test_a_port_where_nothing_listens_is_told_at_once(cli: Cli, verb: tuple[str, ...]) -> None:
    ended = await cli(*verb)

    assert ended.refusal(ExitCode.UNAVAILABLE) == (
        f"PostgreSQL at 127.0.0.1:{REFUSED_PORT}/erp is unavailable: Connection refused {TRY_AGAIN}"
    )


async def test_a_host_that_does_not_exist_is_named(cli: Cli) -> None:
    ended = await replace(cli, pg_url=f"postgresql://relay:pg-password@{NOWHERE}/erp")("status")

    assert ended.refusal(ExitCode.UNAVAILABLE) == (
        f"PostgreSQL at {NOWHERE}/erp is unavailable: the host name cannot be resolved {TRY_AGAIN}"
    )


@pytest.mark.parametrize("verb", [("status",), ("relay",)], ids=lambda verb: verb[0])
async def test_a_wrong_password_of_the_database_names_user_and_setting(
    cli: Cli, database: Database, verb: tuple[str, ...]
) -> None:
    url = with_user(database.url, "postgres", "wrong-password")

    message = (await replace(cli, pg_url=url)(*verb)).refusal(ExitCode.ACCESS_REFUSED)

    assert message.startswith(f"PostgreSQL at 127.0.0.1:{port_of(url)}/test_")
    assert message.endswith(
        'password authentication failed for user "postgres" '
        "next step: check user and password in postgres.url (OUTBOX_PG_URL)"
    )
    assert "wrong-password" not in message


@pytest.mark.parametrize("verb", [("migrate",), ("relay",)], ids=lambda verb: verb[0])
async def test_a_wrong_name_of_the_database_is_quoted(cli: Cli, database: Database, verb: tuple[str, ...]) -> None:
    ended = await replace(cli, pg_url=with_database(database.url, "erb"))(*verb)

    assert ended.refusal(ExitCode.MISCONFIGURED) == (
        f'PostgreSQL at 127.0.0.1:{port_of(database.url)}/erb: database "erb" does not exist '
        "next step: create the database or correct its name in postgres.url"
    )


async def test_a_database_without_tls_is_named_when_tls_is_asked_for(cli: Cli, database: Database) -> None:
    ended = await replace(cli, pg_url=f"{database.url}?sslmode=require")("status")

    assert "rejected SSL upgrade" in ended.refusal(ExitCode.UNAVAILABLE)


async def test_a_wrong_password_of_the_broker_names_the_setting(cli: Cli, database: Database, broker: Broker) -> None:
    url = with_user(broker.url, "guest", "wrong-password")

    ended = await replace(cli, pg_url=database.url, amqp_url=url)("relay")

    assert ended.refusal(ExitCode.ACCESS_REFUSED) == (
        f"RabbitMQ at 127.0.0.1:{port_of(url)}/{broker.vhost} refused user or password "
        "next step: check them in rabbitmq.url (OUTBOX_AMQP_URL)"
    )
    assert "wrong-password" not in ended.err


async def test_a_wrong_virtual_host_names_the_setting(cli: Cli, database: Database, broker: Broker) -> None:
    url = with_vhost(broker.url, "no-such-vhost")

    ended = await replace(cli, pg_url=database.url, amqp_url=url)("relay")

    assert ended.refusal(ExitCode.ACCESS_REFUSED) == (
        f"RabbitMQ at 127.0.0.1:{port_of(url)}/no-such-vhost: the virtual host was refused next step: check the "
        "virtual host at the end of rabbitmq.url (%2F is the default one) and that the user may use it"
    )


async def test_a_broker_without_tls_is_named_when_tls_is_asked_for(
    cli: Cli, database: Database, broker: Broker
) -> None:
    url = broker.url.replace("amqp://", "amqps://")

    ended = await replace(cli, pg_url=database.url, amqp_url=url)("relay")

    assert ended.refusal(ExitCode.MISCONFIGURED).endswith(
        "it does not speak TLS at this port "
        "next step: check scheme (amqp:// or amqps://), host and port in rabbitmq.url"
    )


@pytest.mark.parametrize("verb", ["relay", "consume"])
async def test_a_process_that_stays_waits_for_its_database_and_is_alive(cli: Cli, verb: str) -> None:
    (port,) = free_ports(1)
    cli.settings(one_flow())
    async with cli.running(verb, OUTBOX_HTTP_PORT=str(port)) as process:
        line = await process.logged("service waiting")
        await listens(port)
        status, body = await answer_of(port, "/livez")

    assert line["reason"] == f"PostgreSQL at 127.0.0.1:{REFUSED_PORT}/erp is unavailable: Connection refused"
    assert (line["level"], status) == ("warning", 200)
    assert '"waiting"' in body
    assert "pg-password" not in process.tail()


@pytest.mark.parametrize(
    ("amqp_url", "reason"),
    [
        (REFUSED_AMQP_URL, f"RabbitMQ at 127.0.0.1:{REFUSED_PORT}/ is unavailable: Connection refused"),
        (
            f"amqps://relay:mq-password@{NOWHERE}",
            f"RabbitMQ at {NOWHERE}:5671/ is unavailable: the host name cannot be resolved",
        ),
    ],
    ids=["refused", "unknown host"],
)
async def test_a_relay_waits_for_its_broker_again_and_again(
    cli: Cli, database: Database, amqp_url: str, reason: str
) -> None:
    async with replace(cli, pg_url=database.url, amqp_url=amqp_url).running("relay") as process:
        await process.logged("service waiting", reason=reason)
        await process.logged("service waiting", since=process.mark(), reason=reason)

    assert "mq-password" not in process.tail()


async def test_a_port_for_health_that_is_taken_is_named(cli: Cli, database: Database, broker: Broker) -> None:
    taken = port_of(broker.url)

    ended = await replace(cli, pg_url=database.url, amqp_url=broker.url)("relay", OUTBOX_HTTP_PORT=str(taken))

    assert ended.refusal(ExitCode.MISCONFIGURED).startswith(
        f"http.host and http.port: 127.0.0.1:{taken} cannot be used: address already in use "
        "next step: set http.port (OUTBOX_HTTP_PORT) to a free port, or 0 for any"
    )


async def test_a_host_for_health_that_is_not_ours_is_named(cli: Cli) -> None:
    ended = await cli("relay", OUTBOX_HTTP_HOST=NOWHERE)

    assert f"http.host and http.port: {NOWHERE}:0 cannot be used: the host name cannot be resolved" in ended.refusal(
        ExitCode.MISCONFIGURED
    )
