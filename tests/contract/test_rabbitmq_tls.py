"""TLS to a broker that wants client certificates: who gets in, and what everybody else is told."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aio_pika import Message
from pamqp.commands import Basic

from outbox.model.errors import ExitCode, Misconfigured
from outbox.rabbitmq.apply import apply, check
from outbox.rabbitmq.connection import RabbitServer, connect
from outbox.rabbitmq.management import ManagementServer
from outbox.rabbitmq.tls import Tls
from sandbox.binaries import find_rabbitmq
from sandbox.ports import free_ports
from sandbox.private_rabbitmq import PrivateRabbitMQ
from sandbox.watchdog import Watchdog
from tests.kit.broker import manage
from tests.kit.certificates import Authority, Pair
from tests.kit.cli import Cli
from tests.kit.database import Database

pytestmark = pytest.mark.xdist_group("broker with TLS")

USER = "relay"

_CONFIGURATION = """
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {ca}
ssl_options.certfile = {server.cert}
ssl_options.keyfile = {server.key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
auth_mechanisms.1 = EXTERNAL
auth_mechanisms.2 = PLAIN
ssl_cert_login_from = common_name
management.ssl.ip = 127.0.0.1
management.ssl.port = {management_port}
management.ssl.cacertfile = {ca}
management.ssl.certfile = {server.cert}
management.ssl.keyfile = {server.key}
"""


@dataclass(frozen=True, slots=True)
class TlsBroker:
    """A broker with a TLS listener, and certificates that are right or wrong in one way."""

    port: int
    plain_port: int
    management_port: int
    authority: str
    foreign_authority: str
    user: Pair
    unknown_user: Pair
    expired: Pair
    stranger: Pair

    def server(self, tls: Tls, credentials: str = "guest:guest@", host: str = "127.0.0.1") -> RabbitServer:
        return RabbitServer(f"amqps://{credentials}{host}:{self.port}/", tls=tls)

    def tls(self, pair: Pair | None, **more: str) -> Tls:
        return Tls(self.authority, pair and pair.cert, pair and pair.key, **more)


@pytest.fixture(scope="module")
def tls_broker() -> Iterator[TlsBroker]:
    programs = find_rabbitmq()
    if programs is None:
        pytest.skip("needs the programs of RabbitMQ")
    with Watchdog() as watchdog:
        ours, foreign = Authority(watchdog.folder / "tls"), Authority(watchdog.folder / "foreign")
        server, (port, management_port) = ours.issue("server", "127.0.0.1"), free_ports(2)
        pairs = (
            ours.issue(USER), ours.issue("nobody"), ours.issue("expired", is_expired=True), foreign.issue("stranger")
        )  # fmt: skip
        ours.hand_over()
        broker = PrivateRabbitMQ(
            programs,
            watchdog=watchdog,
            settings=_CONFIGURATION.format(port=port, management_port=management_port, ca=ours.ca, server=server),
            more_plugins=["rabbitmq_auth_mechanism_ssl"],
        )
        broker.start()
        asyncio.run(_make_user(broker.management_url))
        yield TlsBroker(port, broker.ports.amqp, management_port, ours.ca, foreign.ca, *pairs)


async def _make_user(management_url: str) -> None:
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    # Without a password: this user gets in by certificate only.
    await manage(management_url, "PUT", f"/api/users/{USER}", {"password_hash": "", "tags": ""})
    await manage(management_url, "PUT", f"/api/permissions/%2F/{USER}", everything)


async def is_logged_in_as(server: RabbitServer, user: str) -> bool:
    async with connect(server, name="test") as connection:
        channel = await connection.channel()
        # The broker refuses a message that claims to be somebody else's.
        confirmation = await channel.default_exchange.publish(Message(b"", user_id=user), "nowhere", mandatory=False)
        return isinstance(confirmation, Basic.Ack)


async def told(server: RabbitServer) -> str:
    """Return what a connection that must fail says, without its files' folder."""
    with pytest.raises(Misconfigured) as caught:
        async with connect(server, name="test"):
            pass
    return str(caught.value)


async def test_a_client_certificate_beside_a_password_is_no_login(tls_broker: TlsBroker) -> None:
    assert await is_logged_in_as(tls_broker.server(tls_broker.tls(tls_broker.user)), "guest")


@pytest.mark.parametrize("credentials", ["", "somebody@"])
async def test_without_a_password_the_certificate_is_the_login(tls_broker: TlsBroker, credentials: str) -> None:
    server = tls_broker.server(tls_broker.tls(tls_broker.user), credentials)
    assert await is_logged_in_as(server, USER)
    asked_for = replace(server, url=server.url.replace("somebody@", "guest:guest@") + "?auth=external")
    assert await is_logged_in_as(asked_for, USER)


async def test_a_certificate_of_nobody_is_refused_as_a_login(tls_broker: TlsBroker) -> None:
    message = await told(tls_broker.server(tls_broker.tls(tls_broker.unknown_user), ""))
    assert f"RabbitMQ at 127.0.0.1:{tls_broker.port}/ refused our certificate as a login" in message
    assert "rabbitmq_auth_mechanism_ssl" in message


async def test_what_the_broker_has_against_our_certificate_is_told_with_the_file(tls_broker: TlsBroker) -> None:
    for pair, problem in (
        (None, "it asks for a client certificate"),
        (tls_broker.expired, "our client certificate has expired"),
        (tls_broker.stranger, "it does not know the authority of our client certificate"),
    ):
        message = await told(tls_broker.server(tls_broker.tls(pair)))
        assert f"127.0.0.1:{tls_broker.port}/: {problem}" in message
        assert f"rabbitmq.tls.ca_file ({tls_broker.authority})" in message
        assert pair is None or f"rabbitmq.tls.cert_file ({pair.cert})" in message


@pytest.mark.parametrize(
    ("host", "authority", "server_name", "problem"),
    [
        ("127.0.0.1", "foreign_authority", None, "self-signed certificate in certificate chain"),
        ("localhost", "authority", None, "Hostname mismatch, certificate is not valid for 'localhost'"),
        (
            "127.0.0.1",
            "authority",
            "mq.example.com",
            "Hostname mismatch, certificate is not valid for 'mq.example.com'",
        ),
    ],
    ids=["unknown authority", "wrong host", "wrong server name"],
)
async def test_a_broker_that_is_not_the_one_meant_is_not_spoken_to(
    tls_broker: TlsBroker, host: str, authority: str, server_name: str | None, problem: str
) -> None:
    tls = replace(tls_broker.tls(tls_broker.user), ca_file=getattr(tls_broker, authority), server_name=server_name)
    # Verification cannot be switched off in the URL.
    server = tls_broker.server(tls, host=host)
    message = await told(replace(server, url=server.url + "?no_verify_ssl=1"))
    assert f"its certificate is not accepted: {problem}" in message


async def test_a_name_of_its_own_in_the_certificate_can_be_given(tls_broker: TlsBroker) -> None:
    tls = tls_broker.tls(tls_broker.user, server_name="127.0.0.1")
    assert await is_logged_in_as(tls_broker.server(tls, host="localhost"), "guest")


async def test_a_port_without_tls_is_told(tls_broker: TlsBroker) -> None:
    server = RabbitServer(f"amqps://127.0.0.1:{tls_broker.plain_port}/", tls=tls_broker.tls(tls_broker.user))
    assert "it does not speak TLS at this port" in await told(server)


async def test_a_rotated_certificate_is_picked_up_by_the_next_connection(tls_broker: TlsBroker, tmp_path: Path) -> None:
    rotated = Pair(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"))
    server = tls_broker.server(tls_broker.tls(rotated))

    def put(pair: Pair) -> None:
        shutil.copy(pair.cert, rotated.cert)
        shutil.copy(pair.key, rotated.key)

    put(tls_broker.expired)
    assert "has expired" in await told(server)
    put(tls_broker.user)
    assert await is_logged_in_as(server, "guest")


async def test_the_management_api_is_reached_over_tls_with_the_same_authority(tls_broker: TlsBroker) -> None:
    server = tls_broker.server(tls_broker.tls(tls_broker.user))
    api = ManagementServer.beside(server, f"https://127.0.0.1:{tls_broker.management_port}")
    await apply(server, api, ())
    _, verdict = await check(server, api, (), max_payload_bytes=1)
    assert (verdict.deviations, verdict.unseen) == ((), ())

    stranger = replace(api, tls=Tls(tls_broker.foreign_authority))
    with pytest.raises(Misconfigured, match="its certificate is not accepted: self-signed certificate"):
        await check(server, stranger, (), max_payload_bytes=1)


async def test_a_process_publishes_over_tls_and_tells_a_wrong_file_by_name(
    tls_broker: TlsBroker, tmp_path: Path, database: Database
) -> None:
    pair = tls_broker.user
    tls = {"ca_file": tls_broker.authority, "cert_file": pair.cert, "key_file": pair.key}
    relay = Cli(tmp_path, database.url, f"amqps://127.0.0.1:{tls_broker.port}/")

    relay.settings({"rabbitmq": {"tls": tls}})
    drained = await relay("relay", "--drain")
    relay.settings({"rabbitmq": {"tls": tls | {"key_file": "/nowhere/tls.key"}}})
    refused = await relay("relay", "--drain")

    assert drained.code == ExitCode.OK, drained
    assert refused.refusal(ExitCode.MISCONFIGURED).startswith(
        "rabbitmq.tls.key_file: cannot read the file /nowhere/tls.key: No such file or directory next step: correct"
    )
