"""What a receiver sees that verifies with the reference library of Standard Webhooks."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from unittest.mock import patch

import pytest
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from adapters.http_target import HttpTarget
from adapters.webhook import WebhookAdapter
from adapters.webhook_settings import WebhookSettings
from outbox.model.connection import Connection
from outbox.model.outcome import Applied, Configuration, Unknown
from tests.contract.rest_loopback import DELIVERY, OK, TRACEPARENT, Peer, raw_server, target

OLD, NEW = "whsec_" + "QUFB" * 10, "whsec_" + "QkJC" * 10


@dataclass
class Receiver:
    url: str = ""
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append((dict(request.headers), await request.read()))
        return web.Response(status=204)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    async with target(one.answer) as url:
        one.url = url
        yield one


@asynccontextmanager
async def adapter_for(url: str, **settings: object) -> AsyncIterator[WebhookAdapter]:
    adapter = WebhookAdapter(
        WebhookSettings.model_validate({"secrets": [NEW]} | settings),
        HttpTarget(Connection.model_validate({"base_url": url, "timeout": "5s"})),
    )
    try:
        yield adapter
    finally:
        await adapter.close()


async def test_a_receiver_verifies_what_we_signed_and_refuses_what_was_changed() -> None:
    async with receiver() as place, adapter_for(place.url) as adapter:
        (receipt,) = await adapter.send([adapter.render(DELIVERY)], leave_by=math.inf, traceparent=TRACEPARENT)

    ((headers, body),) = place.seen
    assert receipt.outcome == Applied()
    assert Webhook(NEW).verify(body, headers) == DELIVERY.document
    assert headers["webhook-id"] == DELIVERY.idempotency_key
    assert headers["traceparent"] == TRACEPARENT
    for changed_headers, changed_body in (
        (headers, body + b" "),
        (headers | {"webhook-id": "m-2"}, body),
        (headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)}, body),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(NEW).verify(changed_body, changed_headers)


async def test_during_a_rotation_either_secret_verifies() -> None:
    async with receiver() as place, adapter_for(place.url, secrets=[NEW, OLD]) as adapter:
        await adapter.send([adapter.render(DELIVERY)], leave_by=math.inf, traceparent=None)

    ((headers, body),) = place.seen
    for secret in (NEW, OLD):
        Webhook(secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "Q0ND" * 10).verify(body, headers)


async def test_each_try_is_signed_anew_under_the_same_id() -> None:
    async with receiver() as place, adapter_for(place.url) as adapter:
        request = adapter.render(DELIVERY)
        await adapter.send([request], leave_by=math.inf, traceparent=None)
        with patch("adapters.webhook.time.time", return_value=2_000_000_000.9):
            await adapter.send([request], leave_by=math.inf, traceparent=None)

    (first, body), (second, again) = place.seen
    assert body == again
    assert first["webhook-id"] == second["webhook-id"]
    assert second["webhook-timestamp"] == "2000000000"
    assert first["webhook-signature"] != second["webhook-signature"]


async def test_the_payload_arrives_byte_for_byte() -> None:
    payload = b'{ "a" : 1.10, "a2":\t"\xc3\xbc" }'
    async with receiver() as place, adapter_for(place.url, body="payload") as adapter:
        await adapter.send([adapter.render(replace(DELIVERY, payload=payload))], leave_by=math.inf, traceparent=None)

    ((headers, body),) = place.seen
    assert body == payload
    Webhook(NEW).verify(body, headers)


async def test_a_receiver_that_answers_garbage_is_judged_by_its_status() -> None:
    async def session(peer: Peer) -> None:
        await peer.read_request()
        await peer.answer(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n<not-json")

    async with raw_server(session) as server, adapter_for(server.url) as adapter:
        (receipt,) = await adapter.send([adapter.render(DELIVERY)], leave_by=math.inf, traceparent=None)

    assert receipt.outcome == Applied()


async def test_a_receiver_that_hangs_up_leaves_a_doubt_and_one_that_redirects_a_configuration_error() -> None:
    async def hang_up(peer: Peer) -> None:
        await peer.read_request()

    async def redirect(peer: Peer) -> None:
        await peer.read_request()
        await peer.answer(OK.replace(b"201 Created", b"307 Temporary Redirect\r\nLocation: https://evil.example"))

    outcomes = []
    for session in (hang_up, redirect):
        async with raw_server(session) as server, adapter_for(server.url) as adapter:
            (receipt,) = await adapter.send([adapter.render(DELIVERY)], leave_by=math.inf, traceparent=None)
            outcomes.append(receipt.outcome)
            assert len(server.requests) == 1

    assert outcomes[0] == Unknown("webhook: sent, and the connection was lost before the answer")
    assert type(outcomes[1]) is Configuration
    assert "evil" not in repr(outcomes)


async def test_nothing_of_the_secrets_is_in_what_is_shown_of_the_adapter() -> None:
    async with adapter_for("http://127.0.0.1:9", secrets=[NEW, OLD]) as adapter:
        async with asyncio.timeout(5):
            (receipt,) = await adapter.send([adapter.render(DELIVERY)], leave_by=math.inf, traceparent=None)
        shown = repr((receipt, adapter.render(DELIVERY), adapter._settings))

    assert NEW[6:] not in shown
    assert OLD[6:] not in shown
