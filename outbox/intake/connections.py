"""Connections from outside: not too many of them, and none that says nothing.

The library bounds idle connections that have asked before, and nothing bounds those that never finish their first
request: a few thousand of them would be all that a process may have open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

# Headers come in one piece from whoever means it.
_FIRST_REQUEST_SECONDS = 10.0


class _TurnedAway(asyncio.Protocol):
    """Closes at once what is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class _Connection(RequestHandler):
    """The library's, with an answer of ours to what is no HTTP: its own repeats some of what came."""

    def __init__(self, server: BoundedServer, **kwargs: Any) -> None:  # noqa: ANN401 - the library's own
        super().__init__(server, loop=asyncio.get_running_loop(), **kwargs)
        self._answer_error = server.answer_error

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 - a bug was told where it was met
        message: str | None = None,  # noqa: ARG002 - it quotes the request
    ) -> web.StreamResponse:
        """Answer in the library's stead; the connection is closed in any case."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        answer = self._answer_error(status)
        answer.force_close()
        return answer


class BoundedServer(web.Server):
    """The library's server with a bound on connections and on the time until a first request.

    Args:
        handler: answers a request.
        answer_error: answers what is no HTTP (400), and for a handler that has failed (500).
        max_connections: more are closed at once.
        first_request_seconds: a connection without a request is cut off then.
        kwargs: for each connection, as the library takes them.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        answer_error: Callable[[int], web.StreamResponse],
        *,
        max_connections: int,
        first_request_seconds: float = _FIRST_REQUEST_SECONDS,
        **kwargs: Any,  # noqa: ANN401 - the library's own
    ) -> None:
        super().__init__(self._heard)
        self.answer_error = answer_error
        self._connection_options = kwargs
        self._handler = handler
        self._max_connections = max_connections
        self._first_request_seconds = first_request_seconds
        self._silent: set[RequestHandler] = set()

    def __call__(self) -> Any:  # noqa: ANN401 - a protocol, which one is nobody's business
        """Return what serves a new connection."""
        if len(self.connections) >= self._max_connections:
            return _TurnedAway()
        connection = _Connection(self, **self._connection_options)
        self._silent.add(connection)
        asyncio.get_running_loop().call_later(self._first_request_seconds, self._cut_if_silent, connection)
        return connection

    async def _heard(self, request: web.BaseRequest) -> web.StreamResponse:
        self._silent.discard(request.protocol)
        return await self._handler(request)

    def _cut_if_silent(self, connection: RequestHandler) -> None:
        if connection in self._silent:
            self._silent.discard(connection)
            connection.force_close()
            if connection.transport is not None:
                connection.transport.abort()
