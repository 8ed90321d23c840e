"""``GET /events/{sequence}/{event_id}/payload``: what a claim check refers to, for whoever has the token.

Only routed when a token is set. Errors are problem documents (RFC 9457); nothing here is ever logged.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Protocol

from aiohttp import web

from outbox.model.claim import EVENT_CONTENT_TYPE, Claim, parse_claim
from outbox.model.errors import Misconfigured, Unavailable

# Each holds one payload in memory and one connection to the database.
_AT_ONCE = 2
_WAITING = 32
_WAIT_SECONDS = 10.0
_CHUNK_BYTES = 256 * 1024
# A client that takes no chunk for so long has gone, or keeps others from theirs.
_CHUNK_SECONDS = 10.0
_SCHEME = "bearer"


class _Payloads(Protocol):
    """The outbox as the endpoint needs it."""

    async def payload(self, claim: Claim) -> bytes | None: ...


class PayloadEndpoint:
    """Serves payloads, a few at a time."""

    def __init__(self, payloads: _Payloads, token: str) -> None:
        self._payloads = payloads
        self._token = token.encode()
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    def routes(self) -> list[web.RouteDef]:
        """Return what the server must route to here."""
        return [web.get("/events/{sequence}/{event_id}/payload", self._get)]

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if not self._is_allowed(request.headers.get("Authorization", "")):
            return _problem(
                401,
                "a token is needed: send the value of http.payload_token as Authorization: Bearer",
                {"WWW-Authenticate": 'Bearer realm="outbox"'},
            )
        claim = parse_claim(f"{request.match_info['sequence']}/{request.match_info['event_id']}")
        if claim is None:
            return _problem(404, "this is no reference: it has the form /events/SEQUENCE/EVENT-ID/payload")
        if self._waiting >= _WAITING:
            return _busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            return _busy()
        finally:
            self._waiting -= 1
        try:
            return await self._send(request, claim)
        finally:
            self._turn.release()

    def _is_allowed(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        # Compared in a time that does not tell how much of it was right.
        is_same = hmac.compare_digest(token.strip().encode("utf-8", "surrogateescape"), self._token)
        return is_same and scheme.lower() == _SCHEME

    async def _send(self, request: web.Request, claim: Claim) -> web.StreamResponse:
        try:
            payload = await self._payloads.payload(claim)
        except (Unavailable, Misconfigured):
            # The reason names servers and users: nothing for a client. The relay tells it in its own log.
            return _problem(503, "the database cannot be asked at the moment; try again", {"Retry-After": "5"})
        if payload is None:
            return _problem(404, "there is no such event: retention has dropped it, or it never was")
        tag = f'"{hashlib.sha256(payload).hexdigest()}"'
        headers = {"ETag": tag, "Cache-Control": "private, no-store"}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        answer = web.StreamResponse(headers=headers | {"Content-Type": EVENT_CONTENT_TYPE})
        answer.content_length = len(payload)
        await answer.prepare(request)
        if request.method == "HEAD":
            return answer
        try:
            for start in range(0, len(payload), _CHUNK_BYTES):
                async with asyncio.timeout(_CHUNK_SECONDS):
                    await answer.write(payload[start : start + _CHUNK_BYTES])
        except TimeoutError:
            # Cut, so that what the client has is not taken for the whole.
            if request.transport is not None:
                request.transport.abort()
            return answer
        await answer.write_eof()
        return answer


def _busy() -> web.Response:
    return _problem(503, "too many payloads are being fetched; try again", {"Retry-After": "1"})


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(
        {"status": status, "title": _TITLES[status], "detail": detail},
        status=status,
        headers=headers,
        content_type="application/problem+json",
    )


_TITLES = {401: "Unauthorized", 404: "Not Found", 503: "Service Unavailable"}
