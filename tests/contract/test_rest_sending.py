"""Whether a request left: the REST adapter on connections that fail at every point of a call."""

import asyncio
import shutil
import ssl
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from outbox.model.outcome import (
    Applied,
    Configuration,
    Receipt,
    Rejected,
    TargetDown,
    Unknown,
)
from tests.contract.rest_loopback import (
    DELIVERY,
    IDEMPOTENCY,
    OK,
    Peer,
    adapter_for,
    raw_server,
    sent,
)


async def test_a_connection_dropped_after_the_request_is_unknown() -> None:
    async def session(peer: Peer) -> None:
        await peer.read_request()

    async with raw_server(session) as server, adapter_for(server.url) as adapter:
        receipt = await sent(adapter)

    assert receipt == Receipt(Unknown("POST /deals: sent, and the connection was lost before the answer"))


async def test_a_target_that_hangs_after_the_request_is_unknown() -> None:
    async def session(peer: Peer) -> None:
        await peer.read_request()
        await peer.reader.read()

    async with (
        raw_server(session) as server,
        adapter_for(server.url, connection={"timeout": "0.2s"}) as adapter,
    ):
        receipt = await sent(adapter)

    assert receipt == Receipt(Unknown("POST /deals: sent, and no answer within 0.2 s"))


@pytest.mark.parametrize("ending", ["drop", "hang"])
async def test_an_answer_that_breaks_off_is_unknown_though_its_status_was_seen(ending: str) -> None:
    async def session(peer: Peer) -> None:
        await peer.read_request()
        await peer.answer(OK[:-1])
        if ending == "hang":
            await peer.reader.read()

    async with (
        raw_server(session) as server,
        adapter_for(server.url, connection={"timeout": "0.3s"}) as adapter,
    ):
        receipt = await sent(adapter)

    assert type(receipt.outcome) is Unknown
    assert receipt.http_status == 201
    assert "(the answer had begun with 201)" in receipt.outcome.reason


@pytest.mark.parametrize("nonsense", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
async def test_an_answer_that_is_not_http_is_unknown(nonsense: bytes) -> None:
    async def session(peer: Peer) -> None:
        await peer.read_request()
        await peer.answer(nonsense)

    async with raw_server(session) as server, adapter_for(server.url) as adapter:
        receipt = await sent(adapter)

    assert type(receipt.outcome) is Unknown


async def test_a_refused_connection_is_target_down() -> None:
    async with raw_server(_hang) as server:
        pass

    async with adapter_for(server.url) as adapter:
        receipt = await sent(adapter)

    assert type(receipt.outcome) is TargetDown
    assert "POST /deals: cannot connect to 127.0.0.1:" in receipt.outcome.reason


async def test_a_name_that_does_not_resolve_is_target_down() -> None:
    async with adapter_for("http://no-such-host.invalid", connection={"timeout": "2s"}) as adapter:
        receipt = await sent(adapter)

    assert type(receipt.outcome) is TargetDown


async def test_a_target_that_closes_before_the_headers_is_target_down() -> None:
    async def session(_peer: Peer) -> None:
        """Close at once: the TLS handshake never ends, so no header ever leaves."""

    async with raw_server(session) as server, adapter_for(server.url.replace("http", "https")) as adapter:
        receipt = await sent(adapter)

    assert type(receipt.outcome) is TargetDown


async def test_a_handshake_that_hangs_is_target_down() -> None:
    async with (
        raw_server(_hang) as server,
        adapter_for(server.url.replace("http", "https"), connection={"connect_timeout": "0.2s"}) as adapter,
    ):
        receipt = await sent(adapter)

    assert receipt == Receipt(TargetDown("POST /deals: no connection within 0.2 s"))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
async def test_a_certificate_that_nobody_vouches_for_is_configuration(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    await asyncio.to_thread(
        subprocess.run,
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    try:
        async with adapter_for(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as adapter:
            receipt = await sent(adapter)
    finally:
        server.close()
        await server.wait_closed()

    assert type(receipt.outcome) is Configuration
    assert "the target's certificate is not accepted: self-signed certificate" in receipt.outcome.reason


async def _answer_once_then_drop(peer: Peer) -> None:
    await peer.read_request()
    await peer.answer(OK)
    await peer.read_request()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
async def test_a_kept_connection_that_breaks_does_not_send_the_request_twice(method: str) -> None:
    async with (
        raw_server(_answer_once_then_drop) as server,
        adapter_for(server.url, method=method, idempotency=IDEMPOTENCY) as adapter,
    ):
        first, second = await sent(adapter), await sent(adapter)

    assert type(first.outcome) is Applied
    assert second.outcome == Unknown(f"{method} /deals: sent, and the connection was lost before the answer")
    assert (len(server.requests), server.connections) == (2, 1)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_library_that_repeats_requests_is_stopped_before_the_first_byte(method: str) -> None:
    async with (
        raw_server(_answer_once_then_drop) as server,
        adapter_for(server.url, method=method, idempotency=IDEMPOTENCY) as adapter,
    ):
        adapter._target._kept._open_session()._retry_connection = True
        await sent(adapter)
        second = await sent(adapter)

    assert type(second.outcome) is Unknown
    assert len(server.requests) == 2


async def test_connections_are_kept_only_for_targets_that_recognise_a_repetition() -> None:
    async def session(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.answer(OK)

    for idempotency, connections in ((IDEMPOTENCY, 1), (None, 2)):
        async with raw_server(session) as server, adapter_for(server.url, idempotency=idempotency) as adapter:
            await sent(adapter)
            await sent(adapter)
        assert server.connections == connections


async def test_waiting_for_a_place_sends_nothing_and_costs_no_time_of_the_call() -> None:
    release = asyncio.Event()

    async def session(peer: Peer) -> None:
        await peer.read_request()
        await release.wait()

    limits: dict[str, object] = {"max_connections": 1, "timeout": "0.3s"}
    async with raw_server(session) as server, adapter_for(server.url, connection=limits) as adapter:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(sent(adapter)) for _ in range(3)]
        release.set()

    outcomes = sorted(type(call.result().outcome).__name__ for call in calls)
    # The first hangs; the others either get its place as it falls free, or are told that all were busy.
    assert "Unknown" in outcomes
    assert set(outcomes) <= {"Unknown", "Throttled"}
    assert len(server.requests) == outcomes.count("Unknown")


async def test_an_early_refusal_of_a_large_body_is_read_and_bounded() -> None:
    async def session(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.answer(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await asyncio.Event().wait()

    large = replace(DELIVERY, document={"a": "x" * 10**7})
    async with (
        raw_server(session) as server,
        adapter_for(server.url, connection={"timeout": "2s"}) as adapter,
    ):
        receipt = await sent(adapter, large)

    assert receipt.http_status == 413
    assert type(receipt.outcome) is Rejected


async def test_a_cancelled_call_is_cancelled_and_not_an_outcome() -> None:
    arrived = asyncio.Event()

    async def session(peer: Peer) -> None:
        await peer.read_request()
        arrived.set()
        await peer.reader.read()

    async with raw_server(session) as server, adapter_for(server.url) as adapter:
        async with asyncio.TaskGroup() as group:
            call = group.create_task(sent(adapter))
            await arrived.wait()
            call.cancel()

        assert call.cancelled()


async def _hang(_peer: Peer) -> None:
    await asyncio.Event().wait()
