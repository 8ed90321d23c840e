"""Logins: fixed ones, and tokens that are fetched once for all who wait and fetched anew when they are refused."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from outbox.model.outcome import Applied, Configuration, CredentialsExpired, Outcome, TargetDown
from tests.contract.rest_loopback import DELIVERY, Peer, adapter_for, raw_server, target

SECRET = "cl1ent-s3cret"
PATH = "/oauth2/token"


@dataclass
class Site:
    """A target with an authorization server that issues token-1, token-2, …"""

    url: str = ""
    issued: int = 0
    forms: list[dict[str, str]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    good: set[str] = field(default_factory=set)
    may_issue: asyncio.Event = field(default_factory=asyncio.Event)
    answer: Callable[[], web.Response] | None = None
    expires_in: object = 3600

    async def serve(self, request: web.Request) -> web.Response:
        if request.path != PATH:
            self.calls.append(request.headers.get("Authorization", ""))
            is_good = self.calls[-1].removeprefix("Bearer ") in self.good
            return web.json_response({}, status=201 if is_good else 401)
        self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        self.logins.append(request.headers.get("Authorization", ""))
        await self.may_issue.wait()
        if self.answer is not None:
            return self.answer()
        self.issued += 1
        self.good.add(f"token-{self.issued}")
        return web.json_response(
            {"access_token": f"token-{self.issued}", "token_type": "Bearer", "expires_in": self.expires_in}
        )

    def oauth2(self, **more: object) -> dict[str, object]:
        login = {"token_url": self.url + PATH, "client_id": "sidecar", "client_secret": SECRET}
        return {"oauth2": login | more, "bearer": None}


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    place = Site()
    place.may_issue.set()
    async with target(place.serve) as url:
        place.url = url
        yield place


async def outcome_of(adapter: object) -> Outcome:
    (receipt,) = await adapter.send([adapter.render(DELIVERY)], leave_by=math.inf, traceparent=None)
    assert SECRET not in repr(receipt)
    assert "token-" not in repr(receipt)
    return receipt.outcome


async def test_many_requests_that_need_a_token_ask_for_one() -> None:
    async with site() as place, adapter_for(place.url, connection=place.oauth2(scope="deals")) as adapter:
        place.may_issue.clear()
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(outcome_of(adapter)) for _ in range(10)]
            place.may_issue.set()

    assert {type(call.result()) for call in calls} == {Applied}
    assert place.forms == [{"grant_type": "client_credentials", "scope": "deals"}]
    assert place.logins == ["Basic c2lkZWNhcjpjbDFlbnQtczNjcmV0"]
    assert set(place.calls) == {"Bearer token-1"}


async def test_a_token_that_worked_and_is_refused_is_fetched_anew_once() -> None:
    async with site() as place, adapter_for(place.url, connection=place.oauth2()) as adapter:
        assert type(await outcome_of(adapter)) is Applied
        place.good.clear()
        async with asyncio.TaskGroup() as group:
            refused = [group.create_task(outcome_of(adapter)) for _ in range(5)]
        async with asyncio.TaskGroup() as group:
            again = [group.create_task(outcome_of(adapter)) for _ in range(5)]

    assert {type(call.result()) for call in refused} == {CredentialsExpired}
    assert {type(call.result()) for call in again} == {Applied}
    assert place.issued == 2
    # Nothing was sent twice within one call.
    assert len(place.calls) == 11


async def test_a_fresh_token_that_is_refused_is_for_a_person() -> None:
    async with site() as place, adapter_for(place.url, connection=place.oauth2()) as adapter:
        place.answer = lambda: web.json_response({"access_token": "wrong", "token_type": "bearer"})
        outcome = await outcome_of(adapter)

    assert outcome == Configuration("POST /deals: credentials refused (401)")


async def test_a_refusal_that_repeats_the_token_does_not_get_it_into_a_reason() -> None:
    async def serve(request: web.Request) -> web.Response:
        if request.path == PATH:
            return web.json_response({"access_token": "token-of-ours"})
        return web.json_response({"message": f"bad {request.headers['Authorization']}"}, status=401)

    async with target(serve) as url:
        login = {"oauth2": {"token_url": url + PATH, "client_id": "a", "client_secret": SECRET}, "bearer": None}
        async with adapter_for(url, connection=login, statuses={401: "credentials_expired"}) as adapter:
            outcome = await outcome_of(adapter)

    assert outcome == CredentialsExpired("POST /deals: answered 401: bad Bearer ***")


async def test_a_token_is_fetched_anew_before_it_ends() -> None:
    async with site() as place, adapter_for(place.url, connection=place.oauth2()) as adapter:
        place.expires_in = 0
        await outcome_of(adapter)
        place.expires_in = "3600"
        await outcome_of(adapter)
        await outcome_of(adapter)

    assert place.calls == ["Bearer token-1", "Bearer token-2", "Bearer token-2"]


async def test_id_and_secret_may_stand_in_the_form_with_other_parameters() -> None:
    more = {"login": "form", "parameters": {"audience": "https://crm"}}
    async with site() as place, adapter_for(place.url, connection=place.oauth2(**more)) as adapter:
        await outcome_of(adapter)

    assert place.forms == [
        {
            "grant_type": "client_credentials",
            "audience": "https://crm",
            "client_id": "sidecar",
            "client_secret": SECRET,
        }
    ]
    assert place.logins == [""]


ANSWERS: list[tuple[Callable[[], web.Response], type[Outcome], str]] = [
    (lambda: web.json_response({"error": "invalid_client"}, status=401), Configuration, "401: invalid_client"),
    (lambda: web.json_response({"error": f"no {SECRET}"}, status=400), Configuration, "token_url answered 400;"),
    (lambda: web.Response(status=404), Configuration, "token_url answered 404"),
    (lambda: web.Response(text="<html>", content_type="text/html"), Configuration, "without a bearer token"),
    (lambda: web.json_response({"access_token": "a\r\nX-Evil: 1"}), Configuration, "without a bearer token"),
    (lambda: web.json_response({"access_token": "x", "token_type": "mac"}), Configuration, "without a bearer token"),
    (lambda: web.json_response([]), Configuration, "without a bearer token"),
    (lambda: web.Response(status=503, headers={"Retry-After": "7"}), TargetDown, "token_url answered 503"),
    (lambda: web.Response(status=429), TargetDown, "token_url answered 429"),
]


@pytest.mark.parametrize(("answer", "outcome", "text"), ANSWERS)
async def test_without_a_token_nothing_is_sent_and_no_message_is_to_blame(
    answer: Callable[[], web.Response], outcome: type[Outcome], text: str
) -> None:
    async with site() as place, adapter_for(place.url, connection=place.oauth2()) as adapter:
        place.answer = answer
        came = await outcome_of(adapter)

    assert type(came) is outcome
    assert text in str(getattr(came, "reason", ""))
    assert place.calls == []


async def test_a_token_request_whose_answer_is_lost_leaves_no_doubt_about_the_call() -> None:
    async def hang_up(peer: Peer) -> None:
        await peer.read_request()

    async with raw_server(hang_up) as server:
        login = {"oauth2": {"token_url": server.url, "client_id": "a", "client_secret": SECRET}, "bearer": None}
        async with adapter_for("http://127.0.0.1:9", connection=login) as adapter:
            outcome = await outcome_of(adapter)

    assert outcome == TargetDown("POST /deals: no token: sent, and the connection was lost before the answer")


async def test_a_token_server_that_is_away_is_asked_once_for_all_who_wait() -> None:
    async with site() as place, adapter_for(place.url, connection=place.oauth2()) as adapter:
        place.may_issue.clear()
        place.answer = lambda: web.Response(status=503)
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(outcome_of(adapter)) for _ in range(8)]
            place.may_issue.set()
        assert {type(call.result()) for call in calls} == {TargetDown}
        assert len(place.forms) == 1

        place.answer = None
        assert type(await outcome_of(adapter)) is Applied


async def test_a_cancelled_fetch_leaves_the_next_in_line_to_do_it() -> None:
    async with site() as place, adapter_for(place.url, connection=place.oauth2()) as adapter:
        place.may_issue.clear()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(outcome_of(adapter))
            second = group.create_task(outcome_of(adapter))
            while not place.forms:
                await asyncio.to_thread(lambda: None)
            first.cancel()
            place.may_issue.set()

    assert first.cancelled()
    assert type(second.result()) is Applied


async def test_a_user_and_a_password_are_sent_as_http_has_them() -> None:
    async with (
        site() as place,
        adapter_for(
            place.url, connection={"bearer": None, "basic": {"user": "erp", "password": "pässword"}}
        ) as adapter,
    ):
        outcome = await outcome_of(adapter)

    assert outcome == Configuration("POST /deals: credentials refused (401)")
    assert place.calls == ["Basic ZXJwOnDDpHNzd29yZA=="]
