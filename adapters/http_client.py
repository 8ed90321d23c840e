"""One HTTP request, sent once. Knows for a fact whether it left, follows nothing and repeats nothing."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from types import SimpleNamespace

import aiohttp

from adapters.answers import Answer, Fault, NoAnswer
from outbox.model.adapter import Request
from outbox.model.connection import Connection
from outbox.model.tcp import PATIENT


class _SentAgain(Exception):
    """The HTTP library was about to send a request a second time."""


@dataclass(slots=True)
class _Sending:
    """How far one request got."""

    was_sent: bool = False
    status: int | None = None


class HttpClient:
    """A pool of connections to one target.

    The session is made when the first request needs it, inside the loop that is running then.
    """

    def __init__(self, connection: Connection, *, keeps_connections: bool) -> None:
        """Keep the limits; nothing is opened yet.

        Args:
            connection: the target's address, credentials and limits.
            keeps_connections: whether a connection serves several requests. A kept connection may be closed
                by the target just while a request leaves, and then nobody knows whether it arrived: only for
                targets that recognise a repeated request.
        """
        self._connection = connection
        self._keeps_connections = keeps_connections
        self._session: aiohttp.ClientSession | None = None
        # The library's own queue for connections would eat the request's time, and end in a doubt.
        self._places = asyncio.Semaphore(connection.max_connections)

    async def exchange(self, request: Request, headers: Mapping[str, str]) -> Answer | NoAnswer:
        """Send a request and read its answer; never raises for anything that a target or network does."""
        try:
            async with asyncio.timeout(self._connection.timeout):
                await self._places.acquire()
        except TimeoutError:
            return NoAnswer(
                was_sent=False,
                reason=f"all {self._connection.max_connections} connections were busy "
                f"for {self._connection.timeout:g} s",
                fault=Fault.BUSY,
            )
        sending = _Sending()
        try:
            return await self._exchange(request, headers, sending)
        except Exception as error:  # noqa: BLE001  # here an attempt's outcome is decided
            return self._no_answer(error, sending)
        finally:
            self._places.release()

    async def close(self) -> None:
        """Close the connections; requests still under way end as unknown."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(self, request: Request, headers: Mapping[str, str], sending: _Sending) -> Answer:
        session = self._open_session()
        async with (
            # Around everything, also the library's tidying up after the answer.
            asyncio.timeout(self._connection.timeout),
            session.request(
                request.method,
                request.url,
                # A stream is written in pieces; large bytes would hold up the loop, and aiohttp warns of it.
                data=io.BytesIO(request.body) if request.body else None,
                headers=headers,
                allow_redirects=False,
                trace_request_ctx=sending,
            ) as response,
        ):
            sending.status = response.status
            body = await self._body(response)
            if body is None:
                response.close()
            names = reversed(list(response.headers.items()))
            return Answer(response.status, {name.lower(): value for name, value in names}, body)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes | None:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._connection.max_answer_bytes:
                return None
        return bytes(body)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is not None:
            return self._session
        trace = aiohttp.TraceConfig()
        # Both come just before their bytes are written: never too late, so "not sent" is always true.
        trace.on_request_headers_sent.append(_mark_sent)
        trace.on_request_chunk_sent.append(_mark_chunk_sent)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connection.max_connections,
                force_close=not self._keeps_connections,
                socket_factory=_kept_alive,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Places are waited for above, so that `connect` holds name look-up, TCP and TLS only.
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connection.connect_timeout),
            trace_configs=[trace],
            trust_env=False,
        )
        # PUT and DELETE would be repeated unseen when a connection breaks. The switch is private, and a version
        # without it is still stopped by `_mark_sent`; but only after it has connected again for nothing.
        self._session._retry_connection = False  # noqa: SLF001
        return self._session

    def _no_answer(self, error: Exception, sending: _Sending) -> NoAnswer:
        if not sending.was_sent:
            return NoAnswer(was_sent=False, reason=self._why_not_sent(error), fault=_fault(error))
        return NoAnswer(was_sent=True, reason=self._why_no_answer(error), status=sending.status)

    def _why_not_sent(self, error: Exception) -> str:
        match error:
            case aiohttp.ClientConnectorCertificateError():
                detail = getattr(error.certificate_error, "verify_message", None) or "verification failed"
                return f"the target's certificate is not accepted: {detail}"
            case aiohttp.ClientConnectorDNSError():
                return f"the host name {error.host} cannot be resolved"
            case aiohttp.ConnectionTimeoutError():
                return f"no connection within {self._connection.connect_timeout:g} s"
            case aiohttp.ClientSSLError():
                return f"the TLS handshake with {error.host}:{error.port} failed"
            case aiohttp.ClientConnectorError():
                cause = error.os_error.strerror or type(error.os_error).__name__
                return f"cannot connect to {error.host}:{error.port}: {cause}"
            case aiohttp.InvalidURL():
                return "base_url and path make no valid URL"
            case TimeoutError():
                return f"could not be sent within {self._connection.timeout:g} s"
            case _:
                return f"could not be sent ({type(error).__name__})"

    def _why_no_answer(self, error: Exception) -> str:
        match error:
            case TimeoutError():
                return f"sent, and no answer within {self._connection.timeout:g} s"
            case aiohttp.ClientPayloadError():
                return "sent, and the answer broke off"
            case aiohttp.ClientResponseError():
                return "sent, and the answer is not valid HTTP"
            case _SentAgain() | aiohttp.ClientConnectionError():
                return "sent, and the connection was lost before the answer"
            case _:
                return f"sent, and no answer could be read ({type(error).__name__})"


def _kept_alive(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    opened = socket.socket(family, kind, protocol)
    opened.setblocking(False)
    for option in PATIENT.options():
        opened.setsockopt(*option)
    return opened


def user_agent() -> str:
    """Return how we name ourselves to targets."""
    try:
        return f"outbox-sidecar/{metadata.version('outbox-sidecar')}"
    except metadata.PackageNotFoundError:
        return "outbox-sidecar/unreleased"


async def _mark_sent(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceRequestHeadersSentParams
) -> None:
    sending: _Sending = context.trace_request_ctx
    if sending.was_sent:
        # Raised before the first byte of the repetition, so the target sees one request.
        raise _SentAgain
    sending.was_sent = True


async def _mark_chunk_sent(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceRequestChunkSentParams
) -> None:
    context.trace_request_ctx.was_sent = True


def _fault(error: Exception) -> Fault:
    # Waiting heals neither a wrong certificate nor a wrong address.
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.InvalidURL):
        return Fault.CONFIGURATION
    return Fault.NETWORK
