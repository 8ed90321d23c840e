"""The simulated shop's webhooks: signed over the raw bytes as Shopify signs, repeated until somebody takes them."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp

SHOP_DOMAIN = "corner-shop.example.com"
# Shopify gives up a delivery after five seconds.
_ANSWER_SECONDS = 5.0
# Shorter than the hours that Shopify takes: people are waiting.
_PAUSES_SECONDS = (0.5, 1.0, 2.0, 2.0, 5.0, 5.0, 10.0, 30.0, 60.0, 60.0)


@dataclass(slots=True)
class Webhook:
    """One message to whoever has subscribed. ``status``: of the last answer, None as long as there was none."""

    id: str
    topic: str
    body: bytes
    attempts: int = 0
    status: int | None = None
    is_given_up: bool = False
    taken: asyncio.Event = field(default_factory=asyncio.Event)

    def state(self) -> str:
        """Say in a few words how it stands."""
        if self.taken.is_set():
            return "taken"
        refused = "nobody answers" if self.status is None else f"answered {self.status}"
        if self.attempts == 0:
            return "under way"
        return f"given up, {refused}" if self.is_given_up else f"{refused}, comes again"


class Webhooks:
    """Sends webhooks to one address, each on its own, as often as it takes."""

    def __init__(self, address: str, secret: str, session: aiohttp.ClientSession, closing: asyncio.Event) -> None:
        self.sent: dict[str, Webhook] = {}
        self._address = address
        self._secret = secret.encode()
        self._session = session
        self._closing = closing

    def prepare(self, topic: str, document: Mapping[str, object]) -> Webhook:
        """Make a webhook of a document; what is signed is what is sent, byte for byte."""
        webhook = Webhook(f"wh-{len(self.sent) + 1:06d}", topic, json.dumps(document).encode())
        self.sent[webhook.id] = webhook
        return webhook

    async def deliver(self, webhook: Webhook) -> None:
        """Send a webhook until it is taken, refused for good, or given up."""
        for pause_seconds in _PAUSES_SECONDS:
            await self._send(webhook)
            is_refused = webhook.status is not None and webhook.status < HTTPStatus.INTERNAL_SERVER_ERROR
            if webhook.taken.is_set() or is_refused or self._closing.is_set():
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await self._closing.wait()
        webhook.is_given_up = not webhook.taken.is_set()

    async def _send(self, webhook: Webhook) -> None:
        signature = base64.b64encode(hmac.digest(self._secret, webhook.body, hashlib.sha256)).decode()
        headers = {
            "Content-Type": "application/json",
            "X-Shopify-Topic": webhook.topic,
            "X-Shopify-Hmac-Sha256": signature,
            "X-Shopify-Shop-Domain": SHOP_DOMAIN,
            "X-Shopify-Webhook-Id": webhook.id,
        }
        webhook.status = None
        try:
            async with self._session.post(
                self._address,
                data=webhook.body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS),
                allow_redirects=False,
            ) as answer:
                webhook.status = answer.status
                if answer.ok:
                    webhook.taken.set()
        except (aiohttp.ClientError, TimeoutError):
            # Nobody listens there, or nobody answers: it comes again.
            webhook.status = None
        finally:
            webhook.attempts += 1
