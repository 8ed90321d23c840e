"""The simulated CRM keeps the rules of idempotency keys, and its ledger survives a kill."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from sandbox.checker import read_ledger
from sandbox.crm import DEFAULT_TOKEN, CrmServer

ROOT = Path(__file__).parents[2]
DEAL = {"external_ref": "SO-00017", "customer": "C-042", "revision": 3, "amount": "129.90", "currency": "EUR"}


@pytest.fixture
async def crm(tmp_path: Path) -> AsyncIterator[CrmServer]:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as server:
        yield server


@asynccontextmanager
async def client_of(url: str, token: str = DEFAULT_TOKEN) -> AsyncIterator[aiohttp.ClientSession]:
    authorization = {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(url, headers=authorization, timeout=timeout) as session:
        yield session


@pytest.fixture
async def client(crm: CrmServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with client_of(crm.url) as session:
        yield session


def keyed(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


async def test_a_new_key_creates_a_deal_and_one_ledger_line(crm: CrmServer, client: aiohttp.ClientSession) -> None:
    async with client.post("/deals", json=DEAL, headers=keyed("k-1")) as answer:
        assert answer.status == 201
        assert "Idempotency-Replayed" not in answer.headers
        deal = (await answer.json())["deal"]
    assert deal == {"id": "D-000001", "created_at": deal["created_at"], **DEAL}
    (line,) = crm.ledger.lines
    assert (line.n, line.idempotency_key, line.deal_id) == (1, "k-1", "D-000001")
    assert (line.order_ref, line.customer, line.revision, line.amount) == ("SO-00017", "C-042", 3, "129.90")


async def test_the_same_key_and_body_replay_the_first_response(crm: CrmServer, client: aiohttp.ClientSession) -> None:
    async with client.post("/deals", json=DEAL, headers=keyed("k-1")) as first:
        first_body = await first.read()
    async with client.post("/deals", json=DEAL, headers=keyed("k-1")) as second:
        assert second.status == 201
        assert second.headers["Idempotency-Replayed"] == "true"
        assert await second.read() == first_body
    assert len(crm.ledger.lines) == 1


async def test_a_quoted_key_is_the_same_key(crm: CrmServer, client: aiohttp.ClientSession) -> None:
    for key in ("k-1", '"k-1"'):
        async with client.post("/deals", json=DEAL, headers=keyed(key)) as answer:
            assert answer.status == 201
    assert len(crm.ledger.lines) == 1


async def test_another_key_is_another_effect_even_for_the_same_order(
    crm: CrmServer, client: aiohttp.ClientSession
) -> None:
    for key in ("k-1", "k-2"):
        async with client.post("/deals", json=DEAL, headers=keyed(key)) as answer:
            assert answer.status == 201
    assert [line.deal_id for line in crm.ledger.deals_of("SO-00017")] == ["D-000001", "D-000002"]


async def test_a_key_with_another_body_is_refused(crm: CrmServer, client: aiohttp.ClientSession) -> None:
    async with client.post("/deals", json=DEAL, headers=keyed("k-1")) as first:
        assert first.status == 201
    async with client.post("/deals", json={**DEAL, "amount": "1.00"}, headers=keyed("k-1")) as second:
        assert second.status == 422
        assert second.content_type == "application/problem+json"
    assert len(crm.ledger.lines) == 1


async def test_a_key_outside_its_window_is_forgotten(crm: CrmServer, client: aiohttp.ClientSession) -> None:
    async with client.post("/deals", json=DEAL, headers=keyed("k-1")) as answer:
        assert answer.status == 201
    crm.clock.advance(86_399)
    async with client.post("/deals", json=DEAL, headers=keyed("k-1")) as answer:
        assert answer.headers["Idempotency-Replayed"] == "true"
    async with client.post("/_clock", json={"advance_seconds": 2}) as answer:
        assert answer.status == 200
    async with client.post("/deals", json=DEAL, headers=keyed("k-1")) as answer:
        assert (await answer.json())["deal"]["id"] == "D-000002"
    assert len(crm.ledger.lines) == 2


async def test_a_request_without_a_key_is_refused(crm: CrmServer, client: aiohttp.ClientSession) -> None:
    async with client.post("/deals", json=DEAL) as answer:
        assert answer.status == 400
    assert not crm.ledger.lines


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (json.dumps({**DEAL, "amount": 129.9}).encode(), 422),
        (json.dumps({**DEAL, "revision": "3"}).encode(), 422),
        (json.dumps({"external_ref": "SO-1"}).encode(), 422),
    ],
)
async def test_an_invalid_body_is_refused_and_does_not_use_up_the_key(
    client: aiohttp.ClientSession, body: bytes, status: int
) -> None:
    async with client.post("/deals", data=body, headers=keyed("k-1")) as answer:
        assert answer.status == status
    async with client.post("/deals", json=DEAL, headers=keyed("k-1")) as answer:
        assert answer.status == 201


async def test_what_the_erp_emits_is_understood_as_it_is(client: aiohttp.ClientSession) -> None:
    emitted = {
        "order_ref": "SO-00001",
        "customer": "C-021",
        "revision": 1,
        "amount": "245.64",
        "currency": "EUR",
        "lines": [{"article": "A-9615", "quantity": 4, "unit_price": "61.41"}],
        "confirmed_at": "2026-01-02T03:04:05+00:00",
    }
    async with client.post("/deals", json=emitted, headers=keyed("k-1")) as answer:
        assert (await answer.json())["deal"]["external_ref"] == "SO-00001"


async def test_a_wrong_token_is_refused_before_anything_else(crm: CrmServer) -> None:
    async with client_of(crm.url, "wrong") as stranger:
        async with stranger.post("/deals", json=DEAL, headers=keyed("k-1")) as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        async with stranger.get("/deals", params={"external_ref": "SO-00017"}) as answer:
            assert answer.status == 401
    assert not crm.ledger.lines


async def test_deals_are_found_by_reference_and_by_id(client: aiohttp.ClientSession) -> None:
    async with client.get("/deals", params={"external_ref": "SO-00017"}) as answer:
        assert await answer.json() == {"deals": []}
    async with client.post("/deals", json=DEAL, headers=keyed("k-1")) as answer:
        created = await answer.json()
    async with client.get("/deals", params={"external_ref": "SO-00017"}) as answer:
        assert await answer.json() == {"deals": [created["deal"]]}
    async with client.get("/deals/D-000001") as answer:
        assert await answer.json() == created
    async with client.get("/deals/D-000002") as answer:
        assert answer.status == 404
    async with client.get("/deals") as answer:
        assert answer.status == 400


async def start_process(ledger: Path, *options: str) -> tuple[Process, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox.crm", "--ledger", str(ledger), *options, cwd=ROOT, stdout=PIPE
    )
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    assert ready["url"] == f"http://127.0.0.1:{ready['port']}"
    return process, ready["url"]


async def test_ids_keys_and_effects_survive_a_kill(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    process, url = await start_process(ledger, "--token", "t-1")
    async with client_of(url, "t-1") as client:
        async with client.post("/deals", json=DEAL, headers=keyed("k-1")) as answer:
            first_body = await answer.read()
        process.kill()
        assert await process.wait() == -signal.SIGKILL
    process, url = await start_process(ledger, "--token", "t-1")
    async with client_of(url, "t-1") as client:
        async with client.post("/deals", json=DEAL, headers=keyed("k-1")) as answer:
            assert answer.headers["Idempotency-Replayed"] == "true"
            assert await answer.read() == first_body
        async with client.post("/deals", json=DEAL, headers=keyed("k-2")) as answer:
            assert (await answer.json())["deal"]["id"] == "D-000002"
        async with client.get("/_ledger") as answer:
            assert [line["n"] for line in (await answer.json())["lines"]] == [1, 2]
    process.terminate()
    assert await process.wait() == 0
    assert [line.order_ref for line in read_ledger(ledger)] == ["SO-00017", "SO-00017"]


async def test_a_line_that_was_never_finished_is_no_effect(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    async with (
        CrmServer(ledger_path=ledger) as crm,
        client_of(crm.url) as client,
        client.post("/deals", json=DEAL, headers=keyed("k-1")) as answer,
    ):
        assert answer.status == 201
    whole = ledger.read_bytes()
    ledger.write_bytes(whole + whole[: len(whole) // 2])
    async with CrmServer(ledger_path=ledger) as crm, client_of(crm.url) as client:
        assert len(crm.ledger.lines) == 1
        assert ledger.read_bytes() == whole
        async with client.post("/deals", json=DEAL, headers=keyed("k-2")) as answer:
            assert (await answer.json())["deal"]["id"] == "D-000002"
    assert len(read_ledger(ledger)) == 2
