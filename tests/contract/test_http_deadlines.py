"""Each phase of a call has an end of its own, and says whether the request had left by then."""

import asyncio
import contextlib

from adapters.answers import Answer
from tests.contract.http_loopback import called, client_for, failed
from tests.contract.rest_loopback import OK, Peer, raw_server

LARGE = b"x" * 30_000_000
# Far from the deadline of the whole call, and late enough for a loaded machine.
_SOON = 20


async def _silent(peer: Peer) -> None:
    await peer.read_request()
    await peer.reader.read()


async def _deaf(_peer: Peer) -> None:
    """Read nothing: the network takes what fits into its buffers, and no more."""
    await asyncio.Event().wait()


async def test_a_target_that_stops_reading_ends_with_the_deadline_for_sending() -> None:
    async with raw_server(_deaf) as server, client_for(server.url, send_timeout="0.3s", timeout="50s") as client:
        async with asyncio.timeout(_SOON):
            came = await failed(client, server.url, body=LARGE)

    assert came.was_sent
    assert came.reason.startswith("the target stopped reading: ")
    assert came.reason.endswith(" bytes of the body were taken within 0.3 s")


async def test_a_target_that_does_not_answer_ends_with_the_deadline_for_the_first_byte() -> None:
    for method in ("POST", "GET"):
        async with (
            raw_server(_silent) as server,
            client_for(server.url, answer_timeout="0.3s", timeout="50s") as client,
        ):
            async with asyncio.timeout(_SOON):
                came = await failed(client, server.url, method=method)

        assert came.was_sent
        assert came.reason == "sent, and no answer within 0.3 s"


async def test_the_deadline_for_the_first_byte_begins_when_the_request_was_taken() -> None:
    async def slow_reader(peer: Peer) -> None:
        head = await peer.reader.readuntil(b"\r\n\r\n")
        taken = 0
        while taken < len(LARGE):
            taken += len(await peer.reader.read(1_000_000))
        assert head
        await peer.answer(OK)

    async with (
        raw_server(slow_reader) as server,
        client_for(server.url, answer_timeout="4s", send_timeout="15s", timeout="20s") as client,
    ):
        came = await called(client, server.url, body=LARGE)

    assert isinstance(came, Answer)


async def test_an_answer_that_trickles_for_ever_ends_with_the_deadline_of_the_call() -> None:
    async def trickle(peer: Peer) -> None:
        await peer.read_request()
        await peer.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not peer.writer.is_closing():
            await peer.answer(b"x")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await peer.reader.read()

    async with raw_server(trickle) as server, client_for(server.url, answer_timeout="0.2s", timeout="0.6s") as client:
        came = await failed(client, server.url)

    assert (came.was_sent, came.status) == (True, 200)
    assert came.reason == "sent, and the answer did not end within 0.6 s"


async def test_headers_that_trickle_for_ever_end_with_the_deadline_for_the_first_byte() -> None:
    async def trickle(peer: Peer) -> None:
        await peer.read_request()
        await peer.answer(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        await peer.reader.read()

    async with raw_server(trickle) as server, client_for(server.url, answer_timeout="0.3s", timeout="50s") as client:
        async with asyncio.timeout(_SOON):
            came = await failed(client, server.url)

    assert came.reason == "sent, and no answer within 0.3 s"


async def test_a_deadline_longer_than_the_whole_call_is_the_calls() -> None:
    async with raw_server(_silent) as server, client_for(server.url, answer_timeout="1h", timeout="0.3s") as client:
        came = await failed(client, server.url)

    assert came.reason == "sent, and no answer within 0.3 s"


async def test_a_target_that_never_takes_the_connection_is_told_as_not_sent() -> None:
    async with (
        raw_server(_deaf) as server,
        client_for(server.url.replace("http:", "https:"), connect_timeout="0.2s") as client,
    ):
        came = await failed(client, server.url.replace("http:", "https:"))

    assert (came.was_sent, came.reason) == (False, "no connection within 0.2 s")
