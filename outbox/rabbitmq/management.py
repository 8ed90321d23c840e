"""RabbitMQ's management API, as far as the topology needs it: bounded calls, errors of ours, nothing secret in them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import aiohttp
import orjson
from yarl import URL

from outbox.model.amqp_url import AmqpUrl
from outbox.model.errors import AccessRefused, Misconfigured, Unavailable
from outbox.model.network import network_reason, tls_problem
from outbox.rabbitmq.connection import RabbitServer
from outbox.rabbitmq.tls import Tls

_CHECK_URL = "check rabbitmq.management_url (OUTBOX_MANAGEMENT_URL), and that the plugin rabbitmq_management is enabled"
_GUEST = "guest"
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class ManagementServer:
    """Where the management API is; ``url`` is without user and password."""

    url: str
    vhost: str
    user: str
    password: str = field(repr=False)
    timeout_seconds: float = 10.0
    tls: Tls | None = None

    @classmethod
    def beside(cls, server: RabbitServer, url: str) -> ManagementServer:
        """Return the API of a broker; user and password are the broker's unless the URL names its own."""
        amqp = AmqpUrl.parse(server.url)
        parts = urlsplit(url)
        credentials, at, host = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        return cls(
            urlunsplit(parts._replace(netloc=host)).rstrip("/"),
            amqp.vhost,
            unquote(user) if at else amqp.user or _GUEST,
            unquote(password) if at else amqp.password or _GUEST,
            server.connect_timeout_seconds,
            server.tls,
        )

    @property
    def is_encrypted(self) -> bool:
        """Say whether the API is reached with TLS."""
        return self.url.startswith("https:")

    @property
    def server_name(self) -> str | None:
        """Return the name that its certificate must have, when it is not the host's."""
        return self.tls.server_name if self.tls is not None and self.is_encrypted else None

    def __str__(self) -> str:
        return f"RabbitMQ's management API at {urlsplit(self.url).netloc}"


class Management:
    """A session with the API."""

    def __init__(self, server: ManagementServer, client: aiohttp.ClientSession) -> None:
        self._server = server
        self._client = client

    @property
    def vhost(self) -> str:
        """The virtual host that all paths are about."""
        return self._server.vhost

    async def overview(self) -> dict[str, object]:
        """Return what the broker says about itself."""
        answer = await self._call("GET", "/api/overview")
        return answer if isinstance(answer, dict) else {}

    async def listed(self, kind: str, query: str = "") -> list[dict[str, object]]:
        """Return everything of a kind in the virtual host."""
        return _rows(await self._call("GET", f"/api/{kind}/{self._path(self.vhost)}{query}"))

    async def listed_if_allowed(self, path: str) -> list[dict[str, object]] | None:
        """Return a list that not every user of the API may see."""
        try:
            return _rows(await self._call("GET", path))
        except AccessRefused:
            return None

    async def operator_policies(self) -> list[dict[str, object]] | None:
        """Return the policies that win over everybody else's; None for a user who may not see them."""
        return await self.listed_if_allowed(f"/api/operator-policies/{self._path(self.vhost)}")

    async def put_policy(self, name: str, body: dict[str, object]) -> None:
        """Create or replace a policy."""
        await self._call("PUT", f"/api/policies/{self._path(self.vhost)}/{self._path(name)}", body)

    async def _call(self, method: str, path: str, body: object = None) -> object:
        server = self._server
        try:
            async with (
                asyncio.timeout(server.timeout_seconds),
                self._client.request(
                    method,
                    # Encoded already: %2F is the default virtual host, not a slash.
                    URL(server.url + path, encoded=True),
                    json=body,
                    allow_redirects=False,
                    server_hostname=server.server_name,
                ) as answer,
            ):
                return _content(server, method, answer.status, await answer.read())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            problem = tls_problem(error)
            if problem is not None:
                raise Misconfigured(f"{server}: {problem}", _CHECK_URL) from error
            raise Unavailable(str(server), network_reason(error)) from error

    @staticmethod
    def _path(text: str) -> str:
        return quote(text, safe="")


@asynccontextmanager
async def manage(server: ManagementServer) -> AsyncIterator[Management]:
    """Open a session with the API.

    Raises:
        Misconfigured: TLS cannot work.
    """
    context = await asyncio.to_thread((server.tls or Tls()).context) if server.is_encrypted else None
    credentials = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Basic {credentials}"},
        connector=aiohttp.TCPConnector(ssl=True if context is None else context),
    ) as client:
        yield Management(server, client)


def _content(server: ManagementServer, method: str, status: int, body: bytes) -> object:
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            raise AccessRefused(
                f"{server} refused user {server.user!r}",
                "check the password; the user needs the tag management, to put policies policymaker, and a permission "
                "in the virtual host",
            )
        case HTTPStatus.BAD_REQUEST if method == "PUT":
            raise Misconfigured(f"{server} refused a policy: {_reason(body)}", "the broker says what it does not take")
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Unavailable(str(server), f"answered {status}")
        case _ if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise Misconfigured(f"{server} answered {status}: {_reason(body)}", _CHECK_URL)
    if not body:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Misconfigured(f"{server} does not answer JSON", _CHECK_URL) from error


def _reason(body: bytes) -> str:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "no reason given"
    return str(answer.get("reason", "no reason given"))[:_SHOWN_CHARACTERS] if isinstance(answer, dict) else "?"


def _rows(answer: object) -> list[dict[str, object]]:
    return [row for row in answer if isinstance(row, dict)] if isinstance(answer, list) else []
