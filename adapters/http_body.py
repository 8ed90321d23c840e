"""Bodies on the way: a request's, written in pieces and watched; an answer's, read no further than its limit."""

from __future__ import annotations

import zlib

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from adapters.http_progress import Progress

_PIECE_BYTES = 64 * 1024
# gzip and zlib by their own marks; what else there is was not asked for.
_INFLATED = ("gzip", "x-gzip", "deflate")
_ANY_WRAPPER = 32 + zlib.MAX_WBITS


class RequestBody(aiohttp.Payload):
    """Bytes that are handed to the network piece by piece, so that it is known when the last of them is gone."""

    def __init__(self, body: bytes, progress: Progress) -> None:
        super().__init__(body)
        self._size = len(body)
        self._body = memoryview(body)
        self._progress = progress

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the body as text; the library wants to be able to."""
        return bytes(self._body).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write everything."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write everything; the length is the body's."""
        wanted = len(self._body) if content_length is None else min(content_length, len(self._body))
        for start in range(0, wanted, _PIECE_BYTES):
            await writer.write(self._body[start : min(start + _PIECE_BYTES, wanted)])
            self._progress.sent_bytes = min(start + _PIECE_BYTES, wanted)
        self._progress.waiting()


async def read_answer(response: aiohttp.ClientResponse, max_bytes: int) -> bytes | None:
    """Return the body as it was meant; None when it is longer than allowed, or packed in a way that we cannot read.

    A packed body is unpacked here and not by the library: a small one can hold gigabytes.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", *_INFLATED):
        return None
    unpacker = zlib.decompressobj(_ANY_WRAPPER) if encoding in _INFLATED else None
    body = bytearray()
    async for chunk in response.content.iter_any():
        try:
            body += chunk if unpacker is None else unpacker.decompress(chunk, max_bytes + 1 - len(body))
        except zlib.error:
            return None
        if len(body) > max_bytes:
            return None
    if unpacker is not None and body and not unpacker.eof:
        return None
    return bytes(body)
