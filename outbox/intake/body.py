"""Reading a body from the wire: never more of it than is allowed, and never for longer."""

from __future__ import annotations

import asyncio

from aiohttp import web

from outbox.intake.problems import Problem, RefusedRequest

_RETRY_SOON = {"Retry-After": "1"}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Memory:
    """How many bytes of bodies all requests together may hold."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0

    def take(self, count: int) -> None:
        """Hold some more.

        Raises:
            RefusedRequest: there is no room.
        """
        if self._held_bytes + count > self._max_bytes:
            raise RefusedRequest(Problem.BUSY, "too many bodies are being read", _RETRY_SOON)
        self._held_bytes += count

    def give_back(self, count: int) -> None:
        """Hold so many less."""
        self._held_bytes -= count


class BodyReader:
    """Reads the body of one request; `release` gives back what it holds."""

    def __init__(self, memory: Memory, *, max_bytes: int, within_seconds: float) -> None:
        self._memory = memory
        self._max_bytes = max_bytes
        self._within_seconds = within_seconds
        self._held_bytes = 0

    async def read(self, request: web.BaseRequest) -> bytes:
        """Return the bytes as they came; what Content-Length says is only believed when it is too much.

        Raises:
            RefusedRequest: too large, too slow, broken off, or there is no room.
        """
        declared = request.content_length
        if declared is not None and declared > self._max_bytes:
            raise self._too_large()
        try:
            if request.content.is_eof():
                # All of it came with the headers: there is nothing to wait for.
                return self._unpackable(request, await self._read(request))
            async with asyncio.timeout(self._within_seconds):
                if request.headers.get("Expect", "").lower() == "100-continue":
                    await request.writer.write(_CONTINUE)
                    # Not part of the answer.
                    request.writer.output_size = 0
                body = await self._read(request)
        except TimeoutError:
            raise RefusedRequest(
                Problem.BODY_TOO_SLOW, f"it took more than {self._within_seconds:g} s", {"Connection": "close"}
            ) from None
        except (web.RequestPayloadError, ConnectionError):
            raise RefusedRequest(Problem.BODY_INCOMPLETE, headers={"Connection": "close"}) from None
        return self._unpackable(request, body)

    def _unpackable(self, request: web.BaseRequest, body: bytes) -> bytes:
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            # What may come out of it.
            self._memory.take(self._max_bytes)
            self._held_bytes += self._max_bytes
        return body

    def release(self) -> None:
        """Give back the memory."""
        self._memory.give_back(self._held_bytes)
        self._held_bytes = 0

    async def _read(self, request: web.BaseRequest) -> bytes:
        chunks = []
        while chunk := await request.content.readany():
            if self._held_bytes + len(chunk) > self._max_bytes:
                raise self._too_large()
            self._memory.take(len(chunk))
            self._held_bytes += len(chunk)
            chunks.append(chunk)
        return b"".join(chunks)

    def _too_large(self) -> RefusedRequest:
        return RefusedRequest(Problem.BODY_TOO_LARGE, f"the limit is {self._max_bytes} bytes", {"Connection": "close"})
