"""A simulated web shop over HTTP: people buy, signed webhooks tell of it, and an API takes fulfillments and stock."""

import argparse
import asyncio
import json
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from sandbox.shop_admin import AdminApi
from sandbox.shop_ledger import ShopLedger
from sandbox.shop_storefront import Storefront
from sandbox.shop_webhooks import Webhooks

DEFAULT_TOKEN = "shop-sandbox-token"  # noqa: S105 - the token of a simulation
DEFAULT_SECRET = "shop-sandbox-webhook-secret"  # noqa: S105 - the secret of a simulation


@dataclass(kw_only=True)
class ShopServer:
    """The shop in this process: ``async with ShopServer(ledger_path=path, webhook_url=url) as shop``."""

    ledger_path: Path
    webhook_url: str
    token: str = DEFAULT_TOKEN
    secret: str = DEFAULT_SECRET
    host: str = "127.0.0.1"
    port: int = 0

    async def __aenter__(self) -> Self:
        self.ledger = ShopLedger(self.ledger_path)
        self._closing = asyncio.Event()
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            deliveries = await stack.enter_async_context(asyncio.TaskGroup())
            storefront = Storefront(
                ledger=self.ledger,
                webhooks=Webhooks(self.webhook_url, self.secret, session, self._closing),
                deliveries=deliveries,
            )
            app = web.Application()
            app.add_routes([*storefront.routes(), *AdminApi(self.ledger, self.token).routes()])
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, self.host, self.port).start()
            self.port = runner.addresses[0][1]
            # First of all at the end: whoever waits for its next try need not wait.
            stack.callback(self._closing.set)
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


async def _serve(shop: ShopServer) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with shop:
        print(json.dumps({"port": shop.port, "url": shop.url}), flush=True)
        await stop.wait()


def main() -> int:
    """Serve until SIGTERM; the first line of the output is JSON with the address."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.shop", description=main.__doc__)
    parser.add_argument("--ledger", required=True, type=Path, help="file of effects; read back at start")
    parser.add_argument("--webhook-url", required=True, help="who is told of new orders")
    parser.add_argument("--token", default=DEFAULT_TOKEN, help="what clients of the API send as Bearer")
    parser.add_argument("--secret", default=DEFAULT_SECRET, help="what webhooks are signed with")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    options = parser.parse_args()
    shop = ShopServer(
        ledger_path=options.ledger,
        webhook_url=options.webhook_url,
        token=options.token,
        secret=options.secret,
        port=options.port,
    )
    asyncio.run(_serve(shop))
    return 0


if __name__ == "__main__":
    sys.exit(main())
