"""What the REST adapter sends to a real socket, and what it makes of the answers."""

import json
import math
from dataclasses import replace
from decimal import Decimal

import pytest
from aiohttp import web

from outbox.model.adapter import Delivery, Request
from outbox.model.errors import MappingError
from outbox.model.outcome import (
    Accepted,
    Applied,
    Configuration,
    NotTold,
    Outcome,
    Receipt,
    Rejected,
    Retry,
    StaleConflict,
    TargetDown,
    Throttled,
    Unknown,
)
from tests.contract.rest_loopback import (
    BEARER,
    CUSTOMER,
    DELIVERY,
    IDEMPOTENCY,
    OK,
    TRACEPARENT,
    Peer,
    adapter_for,
    raw_server,
    reason_of,
    sent,
    target,
)


async def test_a_request_carries_document_key_credentials_and_trace() -> None:
    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen.append((request.method, request.path, headers, await request.read()))
        return web.json_response({"deal": {"id": 77}}, status=201)

    async with (
        target(answer) as url,
        adapter_for(
            url + "/api", external_id="deal.id", idempotency=IDEMPOTENCY, headers={"X-Source": "erp"}
        ) as adapter,
    ):
        assert await sent(adapter) == Receipt(Applied("77"), http_status=201)

    ((method, path, headers, body),) = seen
    assert (method, path) == ("POST", "/api/deals")
    assert body == b'{"customer":"Anna Customer","amount":1}'
    assert headers["authorization"] == f"Bearer {BEARER}"
    assert headers["idempotency-key"] == "m-1"
    assert headers["traceparent"] == TRACEPARENT
    assert headers["content-type"] == "application/json"
    assert headers["x-source"] == "erp"
    assert headers["user-agent"].startswith("outbox-sidecar/")
    assert "cookie" not in headers


async def test_an_invalid_traceparent_is_left_out() -> None:
    async def session(peer: Peer) -> None:
        await peer.read_request()
        await peer.answer(OK)

    async with raw_server(session) as server, adapter_for(server.url) as adapter:
        await adapter.send([adapter.render(DELIVERY)], leave_by=math.inf, traceparent="evil\r\nX-Evil: 1")

    assert b"traceparent" not in server.requests[0].lower()
    assert b"x-evil" not in server.requests[0].lower()


@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        (200, {}, Applied),
        (204, {}, Applied),
        (202, {"Location": "/jobs/1"}, Accepted),
        (401, {}, Configuration),
        (403, {}, Configuration),
        (404, {}, Configuration),
        (408, {}, Retry),
        (409, {}, Retry),
        (412, {}, StaleConflict),
        (422, {}, Rejected),
        (429, {"Retry-After": "7"}, Throttled),
        (500, {}, Unknown),
        (502, {}, Unknown),
        (503, {}, TargetDown),
    ],
)
async def test_a_status_on_the_wire_becomes_its_outcome(
    status: int, headers: dict[str, str], outcome: type[Outcome]
) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers=headers)

    async with target(answer) as url, adapter_for(url, idempotency=IDEMPOTENCY) as adapter:
        receipt = await sent(adapter)

    assert type(receipt.outcome) is outcome
    assert receipt.http_status == status


async def test_a_throttled_call_says_how_long_by_the_targets_own_clock() -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        dates = {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT", "Date": "Fri, 31 Dec 1999 23:59:39 GMT"}
        return web.Response(status=429, headers=dates)

    async with target(answer) as url, adapter_for(url) as adapter:
        receipt = await sent(adapter)

    assert receipt.outcome == Throttled("POST /deals: answered 429", 20.0)


async def test_a_target_that_repeats_the_bearer_does_not_get_it_into_a_reason() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        refusal = {"message": f"bad header {request.headers['Authorization']}", "echo": await request.json()}
        return web.json_response(refusal, status=422)

    async with target(answer) as url, adapter_for(url) as adapter:
        receipt = await sent(adapter)

    assert receipt.outcome == Rejected("POST /deals: answered 422: bad header Bearer ***")


async def test_a_target_that_repeats_the_payload_does_not_get_it_into_a_reason() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        # Reads the path as the target sees it, and repeats from it and from the body.
        refusal = {"detail": f"{request.path}: 'Anna Customer' may not order 12345678901234567890.5 of 42 in EUR"}
        return web.json_response(refusal, status=422)

    document = {"ref": CUSTOMER, "order": {"lines": [{"amount": Decimal("12345678901234567890.5")}]}, "currency": "EUR"}
    async with target(answer) as url, adapter_for(url, method="PUT", path="/deals/{ref}") as adapter:
        receipt = await sent(adapter, replace(DELIVERY, document=document))

    assert receipt.outcome == Rejected(
        "PUT /deals/{ref}: answered 422: /deals/***: '***' may not order *** of 42 in EUR"
    )


async def test_a_reason_names_the_path_as_it_is_configured_and_never_what_it_was_filled_with() -> None:
    async with (
        raw_server(_hang_up) as server,
        adapter_for(server.url, method="DELETE", path="/c/{customer}") as adapter,
    ):
        receipt = await sent(adapter)

    assert receipt.outcome == Unknown("DELETE /c/{customer}: sent, and the connection was lost before the answer")


async def _hang_up(peer: Peer) -> None:
    await peer.read_request()


async def test_a_redirect_is_not_followed() -> None:
    visits: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        visits.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere?token=x")

    async with target(answer) as url, adapter_for(url) as adapter:
        receipt = await sent(adapter)

    assert visits == ["/deals"]
    assert receipt.outcome == Configuration("POST /deals: redirects to another path of the same host (307)")


async def test_html_and_garbage_are_no_success() -> None:
    bodies = iter([("text/html", "<html>Log in"), ("application/json", '{"deal": ')])

    async def answer(_request: web.Request) -> web.StreamResponse:
        content_type, text = next(bodies)
        return web.Response(text=text, content_type=content_type)

    async with target(answer) as url, adapter_for(url, external_id="deal.id") as adapter:
        html, garbage = await sent(adapter), await sent(adapter)

    assert html.outcome == Unknown(
        "POST /deals: target answered 200 with text/html where JSON was expected; is base_url right?"
    )
    assert garbage.outcome == Unknown("POST /deals: target answered 200 with application/json that is not valid JSON")


async def test_a_huge_answer_counts_by_its_status_unless_its_body_is_needed() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        status = 422 if "bad" in request.path else 201
        return web.json_response({"message": "m" * 1_000_000}, status=status)

    limit: dict[str, object] = {"max_answer_bytes": 2048}
    async with target(answer) as url:
        async with adapter_for(url, connection=limit) as adapter:
            assert (await sent(adapter)).outcome == Applied()
        async with adapter_for(url + "/bad", connection=limit) as adapter:
            assert (await sent(adapter)).outcome == Rejected("POST /deals: answered 422")
        async with adapter_for(url, connection=limit, external_id="deal.id") as adapter:
            assert "longer than max_answer_bytes" in reason_of(await sent(adapter))


async def test_cookies_are_not_kept() -> None:
    cookies: list[str | None] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(headers={"Set-Cookie": "session=1"})

    async with target(answer) as url, adapter_for(url) as adapter:
        await sent(adapter)
        await sent(adapter)

    assert cookies == [None, None]


async def test_numbers_and_paths_arrive_as_they_were_rendered() -> None:
    async def session(peer: Peer) -> None:
        await peer.read_request()
        await peer.answer(OK)

    nasty = "a/b?c#d%2F+ü'!$&()*,;=:@~"
    delivery = replace(DELIVERY, document={"ref": nasty})
    async with (
        raw_server(session) as server,
        adapter_for(server.url, method="PUT", path="/d/{ref}") as adapter,
    ):
        rendered = adapter.render(delivery)
        await adapter.send([rendered], leave_by=math.inf, traceparent=None)

    request_line, _, rest = server.requests[0].partition(b"\r\n")
    assert request_line.decode() == f"PUT {rendered.url.removeprefix(server.url)} HTTP/1.1"
    assert json.loads(rest.rpartition(b"\r\n\r\n")[2]) == {"ref": nasty}


async def test_a_request_from_elsewhere_is_refused_before_anything_is_sent() -> None:
    async with adapter_for("http://127.0.0.1:9") as adapter:
        with pytest.raises(TypeError, match="must come from render"):
            await adapter.send([Request("POST", "http://127.0.0.1:9/", b"{}")], leave_by=math.inf, traceparent=None)
        with pytest.raises(MappingError):
            adapter.render(Delivery("f", "m", "other", 1, None, 1, "m", {}))


async def test_the_rules_of_the_adapter_judge_what_a_look_up_is_answered() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/away":
            return web.Response(status=404, text="default backend - 404", content_type="text/html")
        return web.json_response({"id": 7, "errors": [{"text": "the shard is away"}]})

    def asking(path: str) -> dict[str, object]:
        look_up = {"path": path, "query": {"ref": "{reference}"}, "external_id": "id"}
        return {
            "order.confirmed": {"method": "POST", "path": "/deals", "reference": "customer", "look_up": look_up},
        }

    rules = [{"path": "errors", "present": True, "outcome": "retry", "message": "errors.0.text"}]
    async with target(answer) as url:
        for path, status, why in (("/deals", 200, "the shard is away"), ("/away", 404, "without JSON")):
            async with adapter_for(url, operations=asking(path), rules=rules) as adapter:
                found = await adapter.look_up("order.confirmed", "R-1", leave_by=math.inf)
            assert isinstance(found.answer, NotTold)
            assert isinstance(found.answer.outcome, Retry)
            assert (found.http_status, why in found.answer.outcome.reason) == (status, True)
