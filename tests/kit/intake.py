"""The intake inside the test's own process, on the test's database, and a client for it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from adapters.registry import ADAPTERS
from outbox.app import App, Roles
from outbox.config.load import load
from outbox.config.settings import Settings
from tests.kit.cli import REFUSED_AMQP_URL
from tests.kit.database import Database
from tests.kit.intake_requests import HUBSPOT_SECRET, STANDARD_SECRET, hubspot_headers, standard_headers
from tests.kit.running import running
from tests.kit.waiting import until

SHOPIFY_SECRET = "a shopify secret of some length"
STRIPE_SECRET = "whsec_of_stripe_which_is_text"
TOKEN = "the-token-of-the-portal"
OTHER_TOKEN = "the-token-of-another-client"
PUBLIC_URL = "https://hooks.example.com"

SECTIONS: Mapping[str, Any] = {
    "host": "127.0.0.1",
    "port": 0,
    "public_url": PUBLIC_URL,
    "sources": {
        "partner": {
            "scheme": "standard-webhooks",
            "secrets": [STANDARD_SECRET],
            "type": {"path": "type"},
            "key": {"path": "data.order"},
            "max_body": "64KiB",
        },
        "shop": {
            "scheme": "shopify",
            "secrets": [SHOPIFY_SECRET],
            "type": {"header": "X-Shopify-Topic", "types": {"orders/create": "shop.order_created"}},
            "key": {"path": "id"},
        },
        "pay": {
            "scheme": "stripe",
            "secrets": [STRIPE_SECRET],
            "type": {"path": "type", "types": {"charge.succeeded": "payment.charged"}},
            "key": {"path": "data.object.id"},
        },
        "crm": {
            "scheme": "hubspot",
            "secrets": [HUBSPOT_SECRET],
            "type": {"path": "subscriptionType", "types": {"deal.creation": "crm.deal_created"}},
            "key": {"path": "objectId"},
        },
        "git": {
            "scheme": "hmac",
            "secrets": ["It's a Secret to Everybody"],
            "hmac": {"header": "X-Hub-Signature-256", "prefix": "sha256="},
            "type": {"constant": "code.pushed"},
        },
    },
    "commands": {
        "types": {"order.cancel": {"key": {"path": "order"}}, "order.hold": {}},
        "clients": {
            "portal": {"tokens": ["an older token of the portal", TOKEN]},
            "shop-floor": {"tokens": [OTHER_TOKEN], "types": ["order.hold"]},
        },
    },
}


class Reply(NamedTuple):
    status: int
    document: Any
    headers: Mapping[str, str]

    @property
    def problem(self) -> str:
        """Check that it is a problem document and return its name."""
        assert self.headers["Content-Type"].startswith("application/problem+json"), self
        assert self.document["status"] == self.status
        assert {"type", "title", "detail"} <= self.document.keys()
        return str(self.document["type"]).removeprefix("/problems/")


@dataclass(frozen=True)
class Partner:
    """Whoever calls the intake."""

    client: aiohttp.ClientSession
    app: App
    database: Database

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> Reply:
        sent = {"Content-Type": "application/json"} | dict(headers or {})
        async with self.client.post(path, data=body, headers=sent) as answer:
            return Reply(answer.status, await answer.json(content_type=None), dict(answer.headers))

    async def partner(self, body: bytes, *, name: str | None = None, seconds: float = 0.0, **more: str) -> Reply:
        """Send a webhook by Standard Webhooks, signed at the present or so many seconds later."""
        at = str(int(time.time() + seconds))
        signed = standard_headers(body, at=at, name=name or f"msg_{uuid.uuid4()}")
        return await self.post("/intake/partner", body, signed | more)

    async def crm(self, events: object) -> Reply:
        body = json.dumps(events).encode()
        url = f"{PUBLIC_URL}/intake/crm"
        return await self.post("/intake/crm", body, hubspot_headers(body, at=str(int(time.time() * 1000)), url=url))

    async def command(
        self, body: bytes, *, key: str | None = None, kind: str = "order.cancel", token: str = TOKEN, **more: str
    ) -> Reply:
        headers = {"Authorization": f"Bearer {token}"} | ({} if key is None else {"Idempotency-Key": key}) | more
        return await self.post(f"/commands/{kind}", body, headers)

    async def events(self) -> list[Mapping[str, Any]]:
        rows = await self.database.rows(
            "select event_id::text, type, version, key, payload::text, headers::text from outbox.event order by id"
        )
        return [dict(row) for row in rows]


def order(number: int = 1, **more: object) -> bytes:
    return json.dumps({"type": "order.placed", "data": {"order": f"SO-{number}"}} | more).encode()


def intake_settings(database: Database, folder: Path, **changes: Any) -> Settings:  # noqa: ANN401 - JSON is anything
    file = folder / f"{uuid.uuid4().hex}.yaml"
    content = {"http": {"port": 0}, "log": {"level": "error"}, "intake": {**SECTIONS, **changes}}
    file.write_text(json.dumps(content), encoding="utf-8")
    return load(
        path=file,
        environ={"OUTBOX_PG_URL": database.url, "OUTBOX_AMQP_URL": REFUSED_AMQP_URL},
        adapters={name: kind.settings for name, kind in ADAPTERS.items()},
    )


@asynccontextmanager
async def partner_of(database: Database, settings: Settings) -> AsyncIterator[Partner]:
    """Run the intake for the length of the block, and return who calls it."""
    async with running(settings, Roles(is_intake=True)) as app:
        assert app.intake is not None
        part = app.intake

        async def is_ready() -> bool:
            return part.server.bound_port is not None and part.group.is_open

        await until(is_ready, what="the intake listens and can commit")
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{part.server.bound_port}", connector=aiohttp.TCPConnector(limit=0)
        ) as client:
            yield Partner(client, app, database)
