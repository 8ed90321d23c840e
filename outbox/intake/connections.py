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


class BoundedServer(web.Server):
    """The library's server with a bound on connections and on the time until a first request."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        max_connections: int,
        first_request_seconds: float = _FIRST_REQUEST_SECONDS,
        **kwargs: Any,  # noqa: ANN401 - the library's own
    ) -> None:
        super().__init__(self._heard, **kwargs)
        self._handler = handler
        self._max_connections = max_connections
        self._first_request_seconds = first_request_seconds
        self._silent: set[RequestHandler] = set()

    def __call__(self) -> Any:  # noqa: ANN401 - a protocol, which one is nobody's business
        """Return what serves a new connection."""
        if len(self.connections) >= self._max_connections:
            return _TurnedAway()
        connection = super().__call__()
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
