"""A request leaves once, counted by a server that only counts; redirects are nobody's business but a person's."""

import pytest

from adapters.answers import Answer, NoAnswer
from tests.contract.http_loopback import answered, called, client_for, failed
from tests.contract.rest_loopback import OK, Peer, raw_server

METHODS = ["GET", "PUT", "DELETE", "POST", "PATCH"]


@pytest.mark.parametrize("method", METHODS)
async def test_a_request_whose_connection_breaks_leaves_once(method: str) -> None:
    async def session(peer: Peer) -> None:
        await peer.read_request()

    async with raw_server(session) as server, client_for(server.url) as client:
        came = await failed(client, server.url, method=method)

    assert came.was_sent
    assert (len(server.requests), server.connections) == (1, 1)


@pytest.mark.parametrize("method", METHODS)
async def test_a_kept_connection_that_breaks_under_a_request_does_not_send_it_again(method: str) -> None:
    async def session(peer: Peer) -> None:
        await peer.read_request()
        await peer.answer(OK)
        await peer.read_request()

    async with raw_server(session) as server, client_for(server.url) as client:
        await answered(client, server.url, method=method)
        came = await failed(client, server.url, method=method)

    assert came.was_sent
    assert (len(server.requests), server.connections) == (2, 1)


@pytest.mark.parametrize("method", METHODS)
async def test_a_kept_connection_that_the_target_closed_meanwhile_is_not_used(method: str) -> None:
    async def session(peer: Peer) -> None:
        await peer.read_request()
        await peer.answer(OK)

    async with raw_server(session) as server, client_for(server.url) as client:
        first = await called(client, server.url, method=method)
        # The end of the connection may come before the next request or just with it: then nobody knows.
        second = await called(client, server.url, method=method)

    assert isinstance(first, Answer)
    if isinstance(second, NoAnswer):
        assert second.was_sent
    assert len(server.requests) <= 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_not_followed(method: str, status: int) -> None:
    async def session(peer: Peer) -> None:
        await peer.read_request()
        await peer.answer(f"HTTP/1.1 {status} Moved\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n".encode())
        await peer.read_request()

    async with raw_server(session) as server, client_for(server.url) as client:
        came = await answered(client, server.url, method=method)

    assert came.status == status
    assert len(server.requests) == 1
