"""TLS to a target: whom we trust, who we are, and what a refusal of either means."""

import asyncio
import shutil
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest

from adapters.answers import Answer, Fault, NoAnswer
from tests.contract.http_loopback import answered, called, client_for, failed
from tests.contract.rest_loopback import OK
from tests.kit.certificates import Authority, Pair


def server_context(pair: Pair, *, clients_of: str | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    if clients_of is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients_of)
    return context


@contextmanager
def telling_server(context: ssl.SSLContext) -> Iterator[str]:
    """A server that says why it refuses a handshake, as real ones do; that of asyncio only hangs up."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65536):
                            pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@asynccontextmanager
async def tls_server(pair: Pair, *, clients_of: str | None = None) -> AsyncIterator[str]:
    context = server_context(pair, clients_of=clients_of)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n{}"):
                writer.write(OK)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def test_a_certificate_of_our_own_authority_is_accepted_by_its_file_only(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "ours")
    async with tls_server(ours.issue("crm", "127.0.0.1")) as url:
        async with client_for(url, tls={"ca_file": ours.ca}) as client:
            assert (await answered(client, url)).status == 201
        async with client_for(url) as client:
            came = await failed(client, url)

    assert (came.was_sent, came.fault) == (False, Fault.CONFIGURATION)
    assert "the target's certificate is not accepted" in came.reason


@pytest.mark.parametrize(("hosts", "is_expired"), [(("crm.example.com",), False), (("127.0.0.1",), True)])
async def test_a_certificate_for_another_name_or_time_is_refused(
    hosts: tuple[str, ...], is_expired: bool, tmp_path: Path
) -> None:
    ours = Authority(tmp_path / "ours")
    async with (
        tls_server(ours.issue("crm", *hosts, is_expired=is_expired)) as url,
        client_for(url, tls={"ca_file": ours.ca}) as client,
    ):
        came = await failed(client, url)

    assert (came.was_sent, came.fault) == (False, Fault.CONFIGURATION)


async def test_a_target_that_wants_to_know_us_gets_our_certificate(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "ours")
    me = ours.issue("sidecar")
    tls = {"ca_file": ours.ca, "cert_file": me.cert, "key_file": me.key}
    async with (
        tls_server(ours.issue("crm", "127.0.0.1"), clients_of=ours.ca) as url,
        client_for(url, tls=tls) as client,
    ):
        assert (await answered(client, url)).status == 201


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("is_foreign", [False, True])
async def test_a_target_that_does_not_accept_our_certificate_is_configuration_and_no_doubt(
    newest: ssl.TLSVersion, is_foreign: bool, tmp_path: Path
) -> None:
    ours, foreign = Authority(tmp_path / "ours"), Authority(tmp_path / "foreign")
    me = foreign.issue("sidecar")
    own = {"cert_file": me.cert, "key_file": me.key} if is_foreign else {}
    context = server_context(ours.issue("crm", "127.0.0.1"), clients_of=ours.ca)
    context.maximum_version = newest
    with telling_server(context) as url:
        async with client_for(url, tls={"ca_file": ours.ca, **own}) as client:
            came = await failed(client, url)

    assert (came.was_sent, came.fault) == (False, Fault.CONFIGURATION), came.reason
    assert "client certificate" in came.reason


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_versions_older_than_1_2_are_not_spoken(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "ours")
    context = server_context(ours.issue("crm", "127.0.0.1"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with telling_server(context) as url:
        async with client_for(url, tls={"ca_file": ours.ca}) as client:
            came = await failed(client, url)

    assert (came.was_sent, came.fault) == (False, Fault.CONFIGURATION), came.reason
    assert came.reason.endswith("failed: it agrees to no common TLS version")


async def test_a_rotated_file_is_read_again_for_the_next_call(tmp_path: Path) -> None:
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    file = tmp_path / "ca.pem"
    shutil.copyfile(old.ca, file)
    async with tls_server(new.issue("crm", "127.0.0.1")) as url, client_for(url, tls={"ca_file": str(file)}) as client:
        before = await called(client, url)
        shutil.copyfile(new.ca, file)
        after = await called(client, url)

    assert isinstance(before, NoAnswer)
    assert isinstance(after, Answer)


async def test_a_file_that_cannot_be_used_is_named_and_nothing_is_sent(tmp_path: Path) -> None:
    ours, foreign = Authority(tmp_path / "ours"), Authority(tmp_path / "foreign")
    nonsense = tmp_path / "nonsense.pem"
    shutil.copyfile(__file__, nonsense)
    mine, other = ours.issue("sidecar"), foreign.issue("other")
    cases: list[tuple[dict[str, str], str]] = [
        ({"ca_file": str(tmp_path / "gone.pem")}, "tls.ca_file: cannot read the file"),
        ({"ca_file": str(nonsense)}, "holds no certificate"),
        ({"cert_file": mine.cert, "key_file": other.key}, "does not belong to"),
        ({"cert_file": str(nonsense)}, "is no certificate with its key"),
    ]
    for tls, problem in cases:
        async with client_for("https://127.0.0.1:9", tls=tls) as client:
            came = await failed(client, "https://127.0.0.1:9")
        assert (came.was_sent, came.fault) == (False, Fault.CONFIGURATION)
        assert problem in came.reason
