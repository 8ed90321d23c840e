"""A target with its login: what every HTTP adapter sends through."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from adapters.answers import Answer, NoAnswer
from adapters.credentials import credentials_of
from adapters.http_client import HttpClient, user_agent
from outbox.model.adapter import Request
from outbox.model.connection import Connection
from outbox.model.envelope import TRACEPARENT, is_traceparent

_UNAUTHORIZED = 401


class HttpTarget:
    """One connection of the settings: its login, its pools and its limit of calls, for all flows that use it.

    Requests leave once, with what belongs to the try and not to the request.
    """

    def __init__(self, connection: Connection) -> None:
        """Keep the settings; nothing is opened yet."""
        self.connection = connection
        self.base_url = connection.base_url.rstrip("/")
        places = asyncio.Semaphore(connection.max_connections)
        self._kept = HttpClient(connection, keeps_connections=True, places=places)
        self._fresh = HttpClient(connection, keeps_connections=False, places=places)
        self._credentials = credentials_of(connection)
        self._user_agent = user_agent()

    async def call(
        self,
        request: Request,
        *,
        is_repeatable: bool,
        leave_by: float,
        traceparent: str | None = None,
        signature: Mapping[str, str] | None = None,
    ) -> Answer | NoAnswer:
        """Send a request, once; never raises for anything that a target or network does.

        Args:
            request: as it was rendered.
            is_repeatable: a second one would do no harm, so a kept connection may carry it; see `HttpClient`.
            leave_by: when the first byte must have left; see `outbox.model.adapter.Adapter.send`.
            traceparent: of the message, left out when it is none.
            signature: headers of this try alone.
        """
        login = await self._credentials.login()
        if isinstance(login, NoAnswer):
            return login
        headers = overlaid({"User-Agent": self._user_agent, "Accept-Encoding": "identity"}, request.headers)
        headers |= signature or {}
        if login.authorization is not None:
            headers["Authorization"] = login.authorization
        if traceparent is not None and is_traceparent(traceparent):
            headers[TRACEPARENT] = traceparent
        came = await (self._kept if is_repeatable else self._fresh).exchange(request, headers, leave_by=leave_by)
        if isinstance(came, Answer) and came.status == _UNAUTHORIZED:
            return replace(came, is_login_stale=self._credentials.refused(login))
        if isinstance(came, Answer) and came.is_success:
            self._credentials.accepted(login)
        return came

    def secrets(self) -> tuple[str, ...]:
        """Return what must never be in a reason."""
        return self._credentials.secrets()

    async def close(self) -> None:
        """Close the connections; for whichever flow asks first, because a process closes all of them."""
        await self._kept.close()
        await self._fresh.close()
        await self._credentials.close()


def overlaid(headers: Mapping[str, str], winning: Mapping[str, str]) -> dict[str, str]:
    """Put headers over defaults. Names are compared as HTTP does, or a header would be sent twice."""
    taken = {name.lower() for name in winning}
    return {name: value for name, value in headers.items() if name.lower() not in taken} | dict(winning)
