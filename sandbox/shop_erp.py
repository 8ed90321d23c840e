"""The small ERP of the worked example as a program: makes its tables at its start, answers until SIGTERM."""

import argparse
import asyncio
import json
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import asyncpg
from aiohttp import web

from sandbox.binaries import PROJECT
from sandbox.shop_chat import Chat
from sandbox.shop_erp_api import ErpApi

DEFAULT_TOKEN = "erp-sandbox-token"  # noqa: S105 - the token of a simulation
_SQL = PROJECT / "examples" / "shop" / "erp"
_FILES = ("tables.sql", "transactions.sql")
_CONNECTIONS = 4


@dataclass(kw_only=True)
class ErpServer:
    """The ERP in this process: ``async with ErpServer(pg_url=url) as erp`` and call ``erp.url``."""

    pg_url: str
    token: str = DEFAULT_TOKEN
    host: str = "127.0.0.1"
    port: int = 0

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            pool = await asyncpg.create_pool(self.pg_url, min_size=1, max_size=_CONNECTIONS)
            stack.push_async_callback(pool.close)
            for name in _FILES:
                await pool.execute((_SQL / name).read_text(encoding="utf-8"))
            app = web.Application()
            app.add_routes([*ErpApi(pool, self.token).routes(), *Chat().routes()])
            # A clerk who closes the window does not stop a transaction.
            runner = web.AppRunner(app, access_log=None, handler_cancellation=False)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, self.host, self.port).start()
            self.port = runner.addresses[0][1]
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    @property
    def url(self) -> str:
        """The base address."""
        return f"http://{self.host}:{self.port}"


async def _serve(erp: ErpServer) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with erp:
        print(json.dumps({"port": erp.port, "url": erp.url}), flush=True)
        await stop.wait()


def main() -> int:
    """Serve until SIGTERM; the first line of the output is JSON with the address."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.shop_erp", description=main.__doc__)
    parser.add_argument("--pg-url", required=True, help="the ERP's database")
    parser.add_argument("--token", default=DEFAULT_TOKEN, help="what clients of the API send as Bearer")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    options = parser.parse_args()
    asyncio.run(_serve(ErpServer(pg_url=options.pg_url, token=options.token, port=options.port)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
