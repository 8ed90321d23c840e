"""The intake over HTTP: ``POST /intake/{source}``, ``POST /commands/{type}``, and what explains them.

Everything that comes is from outside: connections, headers and bodies have bounds in number, size and time, and what
is wrong is answered with a problem document (RFC 9457). 202 leaves only after the commit.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson
from aiohttp import web

from outbox.intake.body import BodyReader, Memory
from outbox.intake.connections import BoundedServer
from outbox.intake.desk import Answer, Desk, Visit
from outbox.intake.problems import KINDS, PROBLEMS_PATH, Problem, RefusedRequest
from outbox.intake.received import Headers
from outbox.model.errors import Misconfigured
from outbox.model.intake import NO_SOURCE, RefusedNote
from outbox.model.intake_events import IntakeListening, RequestFailed, RequestRefused, RequestTaken
from outbox.model.lifecycle import Report
from outbox.model.network import listening_reason
from outbox.supervisor import Pulse, Stop

INTAKE_PATH, COMMANDS_PATH, OPENAPI_PATH = "/intake/", "/commands/", "/openapi.json"

_POLL_SECONDS = 30.0
# Longer than what proxies in front keep an idle connection for would be a race with them; clients begin anew.
_KEEP_ALIVE_SECONDS = 75.0
# What a client still sends that was refused; then it is cut off.
_LINGER_SECONDS = 2.0
_UNAUTHORIZED, _SERVER_ERROR = 401, 500


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where to listen, and the bounds.

    ``public_url``: what senders call, up to /intake. ``remote_header``: where a proxy adds the sender's address.
    """

    host: str
    port: int
    public_url: str | None
    body_within_seconds: float
    max_connections: int
    max_in_memory_bytes: int
    remote_header: str | None = None


class IntakeServer:
    """A supervised service. ``port`` 0 takes any free port; `bound_port` says which."""

    def __init__(
        self,
        settings: ServerSettings,
        desk: Desk,
        openapi: Mapping[str, object],
        *,
        note: Callable[[RefusedNote], None],
        on_closed: Callable[[], None],
        report: Report,
    ) -> None:
        self._settings = settings
        self._desk = desk
        self._openapi = orjson.dumps(openapi)
        self._note = note
        self._on_closed = on_closed
        self._report = report
        self._memory = Memory(settings.max_in_memory_bytes)
        self.bound_port: int | None = None

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Serve until stopped; what has begun is answered.

        Raises:
            Misconfigured: the address cannot be used.
        """
        settings = self._settings
        server = BoundedServer(
            self._handle,
            self._answer_error,
            max_connections=settings.max_connections,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            # A signature is over the bytes as they came.
            auto_decompress=False,
            access_log=None,
        )
        runner = web.ServerRunner(server)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, settings.host, settings.port).start()
            except OSError as error:
                raise Misconfigured(
                    f"intake.host and intake.port: {settings.host}:{settings.port} cannot be used: "
                    f"{listening_reason(error)}",
                    "set intake.port to a free port, or 0 for any; intake.host to an address of this machine",
                ) from error
            self.bound_port = int(runner.addresses[0][1])
            pulse.establish()
            self._report(IntakeListening(settings.host, self.bound_port))
            while not stop.is_set():
                pulse.beat()
                await stop.pause(_POLL_SECONDS)
        finally:
            self.bound_port = None
            await runner.cleanup()
            # Nothing more is asked of those who write.
            self._on_closed()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        reader: BodyReader | None = None

        async def read_body(max_bytes: int) -> bytes:
            nonlocal reader
            reader = BodyReader(self._memory, max_bytes=max_bytes, within_seconds=self._settings.body_within_seconds)
            return await reader.read(request)

        began = time.monotonic()
        visit = Visit(request.method, self._url(request), _headers(request), read_body)
        answer: web.Response | None = None
        try:
            answer = await self._answer(request.path, visit, began)
        except RefusedRequest as refused:
            answer = self._refuse(request, visit, refused)
        finally:
            if reader is not None:
                reader.release()
            error = sys.exc_info()[1]
            if answer is None and isinstance(error, Exception):
                # The library answers 500, and keeps to itself why.
                self._report(RequestFailed(visit.source, error))
        return answer

    async def _answer(self, path: str, visit: Visit, began: float) -> web.Response:
        if path.startswith(INTAKE_PATH):
            _require(visit.method, "POST")
            return self._taken(visit, await self._desk.webhook(path.removeprefix(INTAKE_PATH), visit), began)
        if path.startswith(COMMANDS_PATH):
            _require(visit.method, "POST")
            return self._taken(visit, await self._desk.command(path.removeprefix(COMMANDS_PATH), visit), began)
        if path == OPENAPI_PATH:
            _require(visit.method, "GET", "HEAD")
            return web.Response(body=self._openapi, content_type="application/json")
        if path.startswith(PROBLEMS_PATH) and path.removeprefix(PROBLEMS_PATH) in KINDS:
            _require(visit.method, "GET", "HEAD")
            kind = KINDS[Problem(path.removeprefix(PROBLEMS_PATH))]
            document = {"type": path, "title": kind.title, "status": kind.status, "next_step": kind.next_step}
            return web.Response(body=orjson.dumps(document), content_type="application/json")
        raise RefusedRequest(Problem.NOT_FOUND)

    def _taken(self, visit: Visit, answer: Answer, began: float) -> web.Response:
        self._report(RequestTaken(visit.source, len(answer.event_ids), answer.known, time.monotonic() - began))
        return web.Response(status=202, body=orjson.dumps(answer.document()), content_type="application/json")

    def _refuse(self, request: web.BaseRequest, visit: Visit, refused: RefusedRequest) -> web.Response:
        status = KINDS[refused.problem].status
        self._report(RequestRefused(visit.source, refused.problem, status))
        if status < _SERVER_ERROR and refused.problem not in {Problem.NOT_FOUND, Problem.METHOD_NOT_ALLOWED}:
            size_bytes = request.content_length or 0
            names = tuple(visit.headers.names())
            self._note(
                RefusedNote(
                    visit.source,
                    refused.problem,
                    status,
                    1,
                    min(size_bytes, 2**31 - 1),
                    self._remote(request),
                    refused.detail,
                    names,
                )
            )
        return _problem(refused)

    def _answer_error(self, status: int) -> web.Response:
        if status >= _SERVER_ERROR:
            # Told where it was met.
            return _problem(RefusedRequest(Problem.BUG))
        self._report(RequestRefused(NO_SOURCE, Problem.REQUEST_MALFORMED, KINDS[Problem.REQUEST_MALFORMED].status))
        return _problem(RefusedRequest(Problem.REQUEST_MALFORMED))

    def _remote(self, request: web.BaseRequest) -> str:
        values = request.headers.getall(self._settings.remote_header or "", ())
        # What stands before is the sender's own word.
        return values[-1].rpartition(",")[2].strip() if values else request.remote or ""

    def _url(self, request: web.BaseRequest) -> str:
        return (self._settings.public_url or "").rstrip("/") + request.raw_path


def _problem(refused: RefusedRequest) -> web.Response:
    headers = dict(refused.headers)
    is_last = headers.pop("Connection", None) is not None
    if KINDS[refused.problem].status == _UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", 'Signature realm="outbox"')
    answer = web.Response(
        status=KINDS[refused.problem].status,
        body=orjson.dumps(refused.document()),
        content_type="application/problem+json",
        headers=headers,
    )
    if is_last:
        answer.force_close()
    return answer


def _headers(request: web.BaseRequest) -> Headers:
    return Headers(request.headers.items())


def _require(method: str, *allowed: str) -> None:
    if method not in allowed:
        raise RefusedRequest(Problem.METHOD_NOT_ALLOWED, headers={"Allow": ", ".join(allowed)})
