"""Through a proxy: with a tunnel for what is encrypted, in the open for what is not, its password told to nobody."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from adapters.answers import Fault, NoAnswer
from tests.contract.http_loopback import answered, client_for, failed
from tests.contract.rest_loopback import OK, Peer, raw_server
from tests.contract.test_http_tls import tls_server
from tests.kit.certificates import Authority

PASSWORD = "pr0xy-p4ssword"
LOGIN = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()


@dataclass
class Proxy:
    url: str = ""
    heads: list[str] = field(default_factory=list)


@asynccontextmanager
async def proxy(*, refuses_with: int | None = None) -> AsyncIterator[Proxy]:
    """A proxy that makes tunnels, forwards nothing else, and answers plain requests itself."""
    seen = Proxy()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def session(peer: Peer) -> None:
        head = (await peer.reader.readuntil(b"\r\n\r\n")).decode()
        seen.heads.append(head)
        if refuses_with is not None:
            await peer.answer(f"HTTP/1.1 {refuses_with} No\r\nContent-Length: 0\r\n\r\n".encode())
        elif head.startswith("CONNECT "):
            host, _, port = head.split()[1].partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            await peer.answer(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(peer.reader, writer))
                group.create_task(pump(reader, peer.writer))
        else:
            await peer.answer(OK)

    async with raw_server(session) as server:
        seen.url = server.url.replace("http://", f"http://me:{PASSWORD}@")
        yield seen


async def test_an_encrypted_target_is_reached_through_a_tunnel(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "ours")
    async with (
        tls_server(ours.issue("crm", "127.0.0.1")) as url,
        proxy() as between,
        client_for(url, proxy=between.url, tls={"ca_file": ours.ca}) as client,
    ):
        assert (await answered(client, url)).status == 201

    (head,) = between.heads
    assert head.startswith(f"CONNECT {url.removeprefix('https://')} HTTP/1.1\r\n")
    assert f"Proxy-Authorization: {LOGIN}" in head


async def test_a_plain_target_is_asked_for_in_the_open_and_never_connected_to() -> None:
    async with proxy() as between, client_for("http://crm.invalid", proxy=between.url) as client:
        assert (await answered(client, "http://crm.invalid/deals")).status == 201

    (head,) = between.heads
    assert head.startswith("POST http://crm.invalid/deals HTTP/1.1\r\n")
    assert f"Proxy-Authorization: {LOGIN}" in head


@pytest.mark.parametrize(("status", "fault"), [(407, Fault.CONFIGURATION), (503, Fault.NETWORK)])
async def test_a_tunnel_that_is_refused_has_sent_nothing(status: int, fault: Fault) -> None:
    async with (
        proxy(refuses_with=status) as between,
        client_for("https://crm.invalid", proxy=between.url) as client,
    ):
        came = await failed(client, "https://crm.invalid/deals")

    assert (came.was_sent, came.fault) == (False, fault)
    assert str(status) in came.reason
    assert PASSWORD not in repr(came)


async def test_a_proxy_that_refuses_us_in_the_open_has_let_nothing_through() -> None:
    async with (
        proxy(refuses_with=407) as between,
        client_for("http://crm.invalid", proxy=between.url) as client,
    ):
        came = await failed(client, "http://crm.invalid/deals")

    assert (came.was_sent, came.fault) == (False, Fault.CONFIGURATION)
    assert came.reason == "the proxy refuses our user or password (407)"


async def test_a_proxy_that_is_away_is_named_without_its_password() -> None:
    async with proxy() as between:
        pass
    async with client_for("https://crm.invalid", proxy=between.url) as client:
        came = await failed(client, "https://crm.invalid/deals")

    assert came.reason.startswith("cannot connect to the proxy 127.0.0.1:")
    assert PASSWORD not in repr(came)
    assert PASSWORD not in repr(client._connection)


async def test_a_name_may_lead_anywhere_behind_a_proxy_and_not_without_one() -> None:
    async with proxy() as between, client_for("http://localhost:9", proxy=between.url) as client:
        assert (await answered(client, "http://localhost:9")).status == 201
    async with client_for("http://localhost:9") as client:
        came = await failed(client, "http://localhost:9")

    assert came == NoAnswer(was_sent=False, reason=came.reason, fault=Fault.CONFIGURATION)
    assert came.reason.startswith("localhost leads to ")
    assert "which is not a public address; if it is meant, add its network to allowed_networks" in came.reason


async def test_a_network_in_the_settings_opens_the_way_for_a_name() -> None:
    async def session(peer: Peer) -> None:
        await peer.read_request()
        await peer.answer(OK)

    async with raw_server(session) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        async with client_for(url, allowed_networks=["127.0.0.0/8", "::1/128"]) as client:
            assert (await answered(client, url)).status == 201
