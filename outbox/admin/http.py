"""``/livez``, ``/readyz`` and ``/metrics``, and what else is given to be served.

Liveness says whether the loops turn. Readiness says whether this process makes progress where it could, not whether
database and broker are up: a broker outage must not take the application that we sit beside out of service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from aiohttp import web

from outbox.model.errors import Misconfigured
from outbox.model.network import listening_reason
from outbox.supervisor import Pulse, Stop

_POLL_SECONDS = 30.0


class _Metrics(Protocol):
    @property
    def content_type(self) -> str: ...
    def exposition(self) -> bytes: ...


class AdminServer:
    """A supervised service. ``port`` 0 takes any free port; `bound_port` says which."""

    def __init__(self, host: str, port: int, metrics: _Metrics, others: Sequence[web.RouteDef] = ()) -> None:
        self._host = host
        self._port = port
        self._metrics = metrics
        self._others = others
        self._pulses: Mapping[str, Pulse] = {}
        self._needs: dict[str, Callable[[], bool]] = {}
        self._notices: list[Callable[[], str | None]] = []
        self.bound_port: int | None = None

    def watch(self, pulses: Mapping[str, Pulse]) -> None:
        """Tell whose loops liveness is about."""
        self._pulses = pulses

    def needs(self, is_fine: Callable[[], bool], otherwise: str) -> None:
        """Make readiness depend on a condition; ``otherwise`` is told while it does not hold."""
        self._needs[otherwise] = is_fine

    def needs_no_more(self, otherwise: str) -> None:
        """Forget a condition, by what is told while it does not hold."""
        self._needs.pop(otherwise, None)

    def notices(self, notice: Callable[[], str | None]) -> None:
        """Tell with readiness what a person should know, and what does not make the process less ready."""
        self._notices.append(notice)

    async def run(self, stop: Stop, pulse: Pulse) -> None:
        """Serve until stopped.

        Raises:
            Misconfigured: the address cannot be used.
        """
        application = web.Application()
        application.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._exposition),
                *self._others,
            ]
        )
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            try:
                site = web.TCPSite(runner, self._host, self._port)
                await site.start()
            except OSError as error:
                raise Misconfigured(
                    f"http.host and http.port: {self._host}:{self._port} cannot be used: {listening_reason(error)}",
                    "set http.port (OUTBOX_HTTP_PORT) to a free port, or 0 for any; http.host (OUTBOX_HTTP_HOST) to an "
                    "address of this machine",
                ) from error
            self.bound_port = runner.addresses[0][1]
            pulse.establish()
            while not stop.is_set():
                pulse.beat()
                await stop.pause(_POLL_SECONDS)
        finally:
            self.bound_port = None
            await runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        is_alive = not any(pulse.is_stuck() for pulse in self._pulses.values())
        services = {name: pulse.state() for name, pulse in self._pulses.items()}
        return web.json_response({"is_alive": is_alive, "services": services}, status=200 if is_alive else 503)

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons = [otherwise for otherwise, is_fine in self._needs.items() if not is_fine()]
        reasons += [f"{name} is stuck" for name, pulse in self._pulses.items() if pulse.is_stuck()]
        notices = [told for notice in self._notices if (told := notice()) is not None]
        answer = {"is_ready": not reasons, "reasons": reasons, "notices": notices}
        return web.json_response(answer, status=503 if reasons else 200)

    async def _exposition(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": self._metrics.content_type})
