"""A simulated CRM over HTTP: keeps a ledger of its effects, honours idempotency keys, and fails on request.

It must never be kinder than a real one: a request without the right key is a new effect.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web
from pydantic import ValidationError

from sandbox.changes import ClosedError
from sandbox.crm_batches import BatchesApi
from sandbox.crm_control import ControlApi
from sandbox.crm_deals import DealsApi
from sandbox.crm_faults import FaultPlan, Faults, Script
from sandbox.crm_gate import Gate
from sandbox.crm_ledger import KeyStore, Ledger, SimulatedClock
from sandbox.crm_replies import problem
from sandbox.crm_reports import ReportsApi
from sandbox.crm_styles import StylesApi

DEFAULT_TOKEN = "sandbox-token"  # noqa: S105 - the token of a simulation
DEFAULT_WINDOW_SECONDS = 86_400.0
"""A day, as most vendors remember a key."""

_CLOSE_SECONDS = 10.0


@dataclass(kw_only=True)
class CrmServer:
    """The CRM in this process: ``async with CrmServer(ledger_path=path) as crm`` and call ``crm.url``."""

    ledger_path: Path
    token: str = DEFAULT_TOKEN
    window_seconds: float = DEFAULT_WINDOW_SECONDS
    faults: Faults = field(default_factory=Faults)
    host: str = "127.0.0.1"
    port: int = 0

    async def __aenter__(self) -> Self:
        self.ledger = Ledger(self.ledger_path)
        self._deals = DealsApi(
            token=self.token,
            ledger=self.ledger,
            keys=KeyStore(self.window_seconds, self.ledger.lines),
            plan=FaultPlan(self.faults),
        )
        self._reports = ReportsApi(deals=self._deals)
        self._in_flight = _InFlight()
        app = web.Application(middlewares=[self._in_flight.track])
        app.add_routes(
            [
                *self._deals.routes(),
                *StylesApi(deals=self._deals).routes(),
                *BatchesApi(deals=self._deals).routes(),
                *self._reports.routes(),
                *ControlApi(self._deals).routes(),
            ]
        )
        # A request that was held goes on without its client, as it does in most servers.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=False)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, self.host, self.port)
        await self._site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._site.stop()
        self._deals.closing.set()
        self.gate.close()
        self.ledger.stop_waiting()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._in_flight.idle.wait()
        finally:
            await self._runner.cleanup()
            self.ledger.close()

    @property
    def url(self) -> str:
        """The base address."""
        return f"http://{self.host}:{self.port}"

    @property
    def gate(self) -> Gate:
        """The gate of the requests that are held."""
        return self._deals.gate

    @property
    def clock(self) -> SimulatedClock:
        """The clock that idempotency windows are measured with."""
        return self._deals.clock

    def set_faults(self, faults: Faults) -> None:
        """Replace every planned fault."""
        self._deals.plan = FaultPlan(faults)

    def lose(self, order_ref: str) -> None:
        """Have no deal of this order any more, as far as reports tell, and say nothing of it."""
        self._reports.lost.add(order_ref)

    def add_script(self, script: Script) -> None:
        """Plan a fault for one order, besides those that are planned."""
        self._deals.plan.add(script)


class _InFlight:
    """Counts requests in progress, also those whose client has gone."""

    def __init__(self) -> None:
        self.idle = asyncio.Event()
        self.idle.set()
        self._count = 0

    @web.middleware
    async def track(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self._count += 1
        self.idle.clear()
        try:
            return await handler(request)
        except ClosedError:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "The CRM is shutting down")
        finally:
            self._count -= 1
            if self._count == 0:
                self.idle.set()


async def _serve(crm: CrmServer) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with crm:
        print(json.dumps({"port": crm.port, "url": crm.url}), flush=True)
        await stop.wait()


def _faults(text: str) -> Faults:
    try:
        return Faults.model_validate_json(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main() -> int:
    """Serve until SIGTERM; the first line of the output is JSON with the port."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.crm", description=main.__doc__)
    parser.add_argument("--ledger", required=True, type=Path, help="file of effects; read back at start")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--token", default=DEFAULT_TOKEN, help="what clients send as Bearer")
    parser.add_argument(
        "--window-seconds",
        type=float,
        default=DEFAULT_WINDOW_SECONDS,
        help="how long an idempotency key is remembered",
    )
    parser.add_argument(
        "--faults",
        type=_faults,
        default=Faults(),
        help='JSON, as for POST /_faults: {"shares": {"error_500": 0.05}, "seed": 7}',
    )
    options = parser.parse_args()
    crm = CrmServer(
        ledger_path=options.ledger,
        token=options.token,
        window_seconds=options.window_seconds,
        faults=options.faults,
        host=options.host,
        port=options.port,
    )
    asyncio.run(_serve(crm))
    return 0


if __name__ == "__main__":
    sys.exit(main())
