"""One HTTP request, sent once. Knows for a fact whether it left, follows nothing and repeats nothing."""

from __future__ import annotations

import asyncio
import base64
import math
import time
from collections.abc import Mapping
from importlib import metadata
from types import SimpleNamespace

import aiohttp
from yarl import URL

from adapters.answers import Answer, Fault, NoAnswer
from adapters.http_body import RequestBody, read_answer
from adapters.http_guard import Guard
from adapters.http_progress import Phase, Progress
from adapters.http_reasons import PROXY_AUTHENTICATION, PROXY_REFUSES, SentAgain, TooLate, no_answer
from adapters.http_tls import Tls
from outbox.model.adapter import Request
from outbox.model.connection import Connection, TlsFiles

_EVERYWHERE = ("0.0.0.0/0", "::/0")


class HttpClient:
    """A pool of connections to one target.

    The session is made when the first request needs it, inside the loop that is running then.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        keeps_connections: bool,
        url: str | None = None,
        places: asyncio.Semaphore | None = None,
    ) -> None:
        """Keep the limits; nothing is opened yet.

        Args:
            connection: the target's address, credentials and limits.
            keeps_connections: whether a connection serves several requests. A kept connection may be closed
                by the target just while a request leaves, and then nobody knows whether it arrived: only for
                targets that recognise a repeated request.
            url: the server, when it is not the target itself.
            places: of the calls at once, when they are shared with another pool.
        """
        self._connection = connection
        self._keeps_connections = keeps_connections
        self._session: aiohttp.ClientSession | None = None
        # The library's own queue for connections would eat the request's time, and end in a doubt.
        self._places = places or asyncio.Semaphore(connection.max_connections)
        self._tls = Tls(connection.tls or TlsFiles())
        self._proxy, self._proxy_headers = _proxy(connection)
        # Sockets lead to the proxy then, and what it may reach is its own business.
        allowed = connection.allowed_networks if self._proxy is None else _EVERYWHERE
        self._guard = Guard(url or connection.base_url, allowed)

    async def exchange(
        self, request: Request, headers: Mapping[str, str], *, leave_by: float = math.inf
    ) -> Answer | NoAnswer:
        """Send a request and read its answer; never raises for anything that a target or network does.

        ``leave_by``: past this moment, by `time.monotonic`, no byte leaves any more.
        """
        wait_seconds = max(min(self._connection.timeout, leave_by - time.monotonic()), 0.0)
        try:
            if self._places.locked():
                async with asyncio.timeout(wait_seconds):
                    await self._places.acquire()
            else:
                await self._places.acquire()
        except TimeoutError:
            return NoAnswer(
                was_sent=False,
                reason=f"all {self._connection.max_connections} connections were busy for {wait_seconds:.3g} s",
                fault=Fault.BUSY,
            )
        ends_at = asyncio.get_running_loop().time() + self._connection.timeout
        deadline = asyncio.timeout_at(ends_at)
        progress = Progress(self._connection, deadline, ends_at, leave_by)
        try:
            # Around everything, also the library's tidying up after the answer.
            async with deadline:
                return await self._exchange(request, headers, progress)
        except Exception as error:  # noqa: BLE001  # here an attempt's outcome is decided
            return no_answer(error, progress, self._connection)
        finally:
            progress.over()
            self._places.release()

    async def close(self) -> None:
        """Close the connections; requests still under way end as unknown."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(self, request: Request, headers: Mapping[str, str], progress: Progress) -> Answer | NoAnswer:
        session = self._open_session()
        is_encrypted = request.url.startswith("https:")
        async with session.request(
            request.method,
            _url(request.url),
            data=RequestBody(request.body, progress) if request.body else None,
            # A proxy reads these in the request itself, or in front of a tunnel for one that it cannot read.
            headers=headers if is_encrypted else {**headers, **self._proxy_headers},
            ssl=self._tls.context() if is_encrypted else True,
            proxy=self._proxy,
            proxy_headers=self._proxy_headers or None,
            allow_redirects=False,
            trace_request_ctx=progress,
        ) as response:
            progress.reading(response.status)
            if response.status == PROXY_AUTHENTICATION and self._proxy is not None:
                # The proxy's own answer: it has let nothing through.
                response.close()
                return NoAnswer(was_sent=False, reason=PROXY_REFUSES, fault=Fault.CONFIGURATION)
            body = await read_answer(response, self._connection.max_answer_bytes)
            if body is None:
                response.close()
            names = reversed(list(response.headers.items()))
            return Answer(response.status, {name.lower(): value for name, value in names}, body)

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
                socket_factory=self._guard.socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Places are waited for above, so that `connect` holds name look-up, TCP and TLS only.
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connection.connect_timeout),
            trace_configs=[trace],
            auto_decompress=False,
            trust_env=False,
        )
        # PUT and DELETE would be repeated unseen when a connection breaks. The switch is private, and a version
        # without it is still stopped by `_mark_sent`; but only after it has connected again for nothing.
        self._session._retry_connection = False  # noqa: SLF001
        return self._session


def basic(user: str, password: str) -> str:
    """Return how HTTP writes a user and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def user_agent() -> str:
    """Return how we name ourselves to targets."""
    try:
        return f"outbox-sidecar/{metadata.version('outbox-sidecar')}"
    except metadata.PackageNotFoundError:
        return "outbox-sidecar/unreleased"


async def _mark_sent(
    _session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestHeadersSentParams
) -> None:
    progress: Progress = context.trace_request_ctx
    if progress.was_sent:
        # Raised before the first byte of the repetition, so the target sees one request.
        raise SentAgain
    if time.monotonic() > progress.leave_by:
        raise TooLate
    progress.sending()
    if params.headers.get("Content-Length", "0") == "0":
        progress.waiting()


async def _mark_chunk_sent(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceRequestChunkSentParams
) -> None:
    progress: Progress = context.trace_request_ctx
    if progress.phase is Phase.CONNECTING:
        progress.sending()


def _url(text: str) -> URL:
    try:
        # It was put together and encoded already, and must leave as it was hashed.
        return URL(text, encoded=True)
    except ValueError:
        # No `from`: the cause quotes the address.
        raise aiohttp.InvalidURL("(address)") from None


def _proxy(connection: Connection) -> tuple[URL | None, dict[str, str]]:
    """Return the proxy's address without its login, which must not be part of what the library says of it."""
    if connection.proxy is None:
        return None, {}
    url = URL(connection.proxy.get_secret_value())
    login = {} if url.user is None else {"Proxy-Authorization": basic(url.user, url.password or "")}
    return url.with_user(None), login
