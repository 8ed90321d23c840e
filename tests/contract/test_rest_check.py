"""The question that changes nothing: is the REST target there, and does it take our credentials?"""

from __future__ import annotations

import pytest
from aiohttp import web

from outbox.model.outcome import Configuration, CredentialsExpired, NotTold, Outcome, Reached, Retry, TargetDown
from sandbox.ports import free_ports
from tests.contract.rest_loopback import BEARER, adapter_for, target

ME = {"path": "/me", "query": {"fields": "version"}, "version": "api.version"}


async def test_a_target_that_answers_tells_its_version() -> None:
    seen: list[tuple[str, str, str | None]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append((request.method, request.path_qs, request.headers.get("Authorization")))
        return web.json_response({"api": {"version": "17.2"}})

    async with target(answer) as url, adapter_for(url + "/api", check=ME) as adapter:
        assert await adapter.check() == Reached("17.2")
    assert seen == [("GET", "/api/me?fields=version", f"Bearer {BEARER}")]


async def test_without_a_question_nothing_is_asked() -> None:
    (closed,) = free_ports(1)
    async with adapter_for(f"http://127.0.0.1:{closed}") as adapter:
        assert await adapter.check() is None
    async with adapter_for(f"http://127.0.0.1:{closed}", check={"path": "/me"}) as adapter:
        answer = await adapter.check()
    assert isinstance(answer, NotTold)
    assert isinstance(answer.outcome, TargetDown)


@pytest.mark.parametrize(
    ("status", "body", "content_type", "kind", "why"),
    [
        (401, b"{}", "application/json", Configuration | CredentialsExpired, "401"),
        (404, b"{}", "application/json", Outcome, "404"),
        (503, b"{}", "application/json", TargetDown, "503"),
        (200, b"<html>Sign in</html>", "text/html", Retry, "cannot be read"),
        (200, b'{"error": "no such tenant"}', "application/json", Configuration, "no such tenant"),
        (200, b'{"api": {}}', "application/json", Retry, "has no api.version"),
    ],
)
async def test_only_a_target_that_answers_as_itself_is_right(
    status: int, body: bytes, content_type: str, kind: type[Outcome], why: str
) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, content_type=content_type)

    rules = [{"path": "error", "present": True, "outcome": "configuration", "message": "error"}]
    async with target(answer) as url, adapter_for(url, check=ME, rules=rules) as adapter:
        found = await adapter.check()
    assert isinstance(found, NotTold)
    assert isinstance(found.outcome, kind)
    assert why in found.outcome.reason


async def test_a_page_is_no_answer_of_a_target_without_rules_either() -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>Sign in</html>", content_type="text/html")

    async with target(answer) as url, adapter_for(url, check={"path": "/me"}) as adapter:
        assert await adapter.check() == NotTold(Retry("GET /me: the answer 200 is not JSON"))
