"""The payload endpoint under load and in trouble: a few at a time, the others are told when to come again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from outbox.admin.payloads import PayloadEndpoint
from outbox.model.claim import Claim
from outbox.model.errors import Unavailable
from tests.kit.waiting import until

TOKEN = "a-token-for-payloads-only"
PATH = "/events/7/0b5c1f3e-1111-4222-8333-444455556666/payload"
MANY = 40


class _Outbox:
    """Answers when it is told to; counts how many ask at once."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.may_answer = asyncio.Event()
        self.asking = 0
        self.most = 0
        self._is_away = is_away

    async def payload(self, claim: Claim) -> bytes | None:
        if self._is_away:
            raise Unavailable("PostgreSQL at db.internal:5432/erp", "SECRET reason")
        assert claim.sequence == 7
        self.asking += 1
        self.most = max(self.most, self.asking)
        await self.may_answer.wait()
        self.asking -= 1
        return b"{}"


@asynccontextmanager
async def _client(outbox: _Outbox) -> AsyncIterator[aiohttp.ClientSession]:
    application = web.Application()
    application.add_routes(PayloadEndpoint(outbox, TOKEN).routes())
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{runner.addresses[0][1]}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            connector=connector,
        ) as client:
            yield client
    finally:
        await runner.cleanup()


async def test_a_few_are_read_at_once_some_wait_and_the_rest_are_told_to_come_again() -> None:
    outbox, answers = _Outbox(), []

    async def ask(client: aiohttp.ClientSession) -> None:
        async with client.get(PATH) as answer:
            answers.append((answer.status, answer.headers.get("Retry-After")))

    async def are_refused() -> bool:
        return len(answers) >= MANY - 34

    async with _client(outbox) as client, asyncio.TaskGroup() as group:
        for _ in range(MANY):
            group.create_task(ask(client))
        await until(are_refused, what="those for whom there is no room are refused")
        assert set(answers) == {(503, "1")}
        outbox.may_answer.set()

    assert outbox.most == 2
    assert [status for status, _ in answers].count(200) == 34


async def test_a_database_that_is_away_is_told_without_its_address() -> None:
    async with _client(_Outbox(is_away=True)) as client, client.get(PATH) as answer:
        problem = json.loads(await answer.text())

    assert (answer.status, answer.content_type, answer.headers["Retry-After"]) == (503, "application/problem+json", "5")
    assert problem["status"] == 503
    assert "db.internal" not in str(problem)
    assert "SECRET" not in str(problem)
