"""What is read of an answer: no more than allowed, however it is packed."""

import gzip
import tracemalloc
import zlib

import pytest

from tests.contract.http_loopback import answered, client_for
from tests.contract.rest_loopback import Peer, raw_server

TEXT = b'{"id": "' + b"7" * 500 + b'"}'


async def _body(packed: bytes, encoding: str, *, limit: str = "2KiB") -> bytes | None:
    async def session(peer: Peer) -> None:
        await peer.read_request()
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(packed)}\r\n\r\n"
        await peer.answer(head.encode() + packed)

    async with raw_server(session) as server, client_for(server.url, max_answer_bytes=limit) as client:
        return (await answered(client, server.url)).body


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("GZIP", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("identity", TEXT),
    ],
    ids=["gzip", "GZIP", "deflate", "identity"],
)
async def test_a_packed_answer_is_unpacked_though_nobody_asked_for_it(encoding: str, packed: bytes) -> None:
    assert await _body(packed, encoding) == TEXT


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("br", b"\x0b\x02\x80{}\x03"), ("gzip", TEXT), ("gzip", gzip.compress(TEXT)[:-20]), ("gzip, gzip", TEXT)],
    ids=["brotli", "not packed", "cut off", "twice"],
)
async def test_an_answer_that_cannot_be_unpacked_counts_as_not_read(encoding: str, packed: bytes) -> None:
    assert await _body(packed, encoding) is None


async def test_a_small_answer_that_unpacks_to_gigabytes_costs_no_memory() -> None:
    bomb = gzip.compress(b"\0" * 60_000_000, compresslevel=1)

    tracemalloc.start()
    try:
        body = await _body(bomb, "gzip")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert body is None
    assert peak < 20_000_000


async def test_an_answer_of_exactly_the_limit_is_read_and_one_byte_more_is_not() -> None:
    assert await _body(b"x" * 2048, "identity") == b"x" * 2048
    assert await _body(b"x" * 2049, "identity") is None
    assert await _body(gzip.compress(b"x" * 2048), "gzip") == b"x" * 2048
    assert await _body(gzip.compress(b"x" * 2049), "gzip") is None
