"""The simulated CRM fails exactly as it is told, before or after the effect."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import aiohttp
import pytest

from sandbox.changes import ClosedError
from sandbox.crm import DEFAULT_TOKEN, CrmServer
from sandbox.crm_faults import Fault, FaultPlan, Faults, Script

DEAL = {"external_ref": "SO-00017", "customer": "C-042", "revision": 3, "amount": "129.90", "currency": "EUR"}
KEY = {"Idempotency-Key": "k-1"}


@pytest.fixture
async def crm(tmp_path: Path) -> AsyncIterator[CrmServer]:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as server:
        yield server


@pytest.fixture
async def client(crm: CrmServer) -> AsyncIterator[aiohttp.ClientSession]:
    authorization = {"Authorization": f"Bearer {DEFAULT_TOKEN}"}
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(crm.url, headers=authorization, timeout=timeout) as session:
        yield session


def always(fault: Fault, **settings: float) -> Faults:
    return Faults.model_validate({"shares": {fault: 1}, **settings})


async def status_of_create(client: aiohttp.ClientSession, key: str = KEY["Idempotency-Key"]) -> int:
    async with client.post("/deals", json=DEAL, headers={"Idempotency-Key": key}) as answer:
        await answer.read()
        return answer.status


async def is_closed(waiting: Awaitable[None]) -> bool:
    try:
        await waiting
    except ClosedError:
        return True
    return False


@pytest.mark.parametrize(
    ("fault", "status", "effects"),
    [
        (Fault.ERROR_500, 500, 0),
        (Fault.ERROR_500_AFTER_EFFECT, 500, 1),
        (Fault.THROTTLE_429, 429, 0),
        (Fault.UNAVAILABLE_503, 503, 0),
        (Fault.REJECT_422, 422, 0),
        (Fault.HTML_200, 200, 0),
        (Fault.GARBAGE_200, 200, 1),
        (Fault.SLOW, 201, 1),
    ],
)
async def test_a_fault_answers_its_status_and_has_its_effect_or_not(
    crm: CrmServer, client: aiohttp.ClientSession, fault: Fault, status: int, effects: int
) -> None:
    crm.set_faults(always(fault, slow_ms=1))
    assert await status_of_create(client) == status
    assert len(crm.ledger.lines) == effects
    crm.set_faults(Faults())
    async with client.post("/deals", json=DEAL, headers=KEY) as answer:
        assert answer.status == 201
        assert ("Idempotency-Replayed" in answer.headers) == (effects == 1)
    assert len(crm.ledger.lines) == 1


@pytest.mark.parametrize(
    ("fault", "effects"),
    [(Fault.DROP_BEFORE_EFFECT, 0), (Fault.DROP_AFTER_EFFECT, 1), (Fault.HANG_AFTER_EFFECT, 1)],
)
async def test_a_fault_closes_the_connection_without_an_answer(
    crm: CrmServer, client: aiohttp.ClientSession, fault: Fault, effects: int
) -> None:
    crm.set_faults(always(fault, hang_seconds=0.01))
    with pytest.raises(aiohttp.ClientConnectionError):
        await status_of_create(client)
    assert len(crm.ledger.lines) == effects


@pytest.mark.parametrize("fault", [Fault.THROTTLE_429, Fault.UNAVAILABLE_503])
async def test_a_fault_says_when_to_come_back(crm: CrmServer, client: aiohttp.ClientSession, fault: Fault) -> None:
    crm.set_faults(always(fault, retry_after_seconds=7))
    async with client.post("/deals", json=DEAL, headers=KEY) as answer:
        assert answer.headers["Retry-After"] == "7"


async def test_the_bodies_of_bad_200_answers_are_no_json(crm: CrmServer, client: aiohttp.ClientSession) -> None:
    crm.set_faults(always(Fault.HTML_200))
    async with client.post("/deals", json=DEAL, headers=KEY) as answer:
        assert answer.content_type == "text/html"
    crm.set_faults(always(Fault.GARBAGE_200))
    async with client.post("/deals", json=DEAL, headers=KEY) as answer:
        assert answer.content_type == "application/json"
        with pytest.raises(ValueError, match="Unterminated string"):
            await answer.json()


async def test_an_expired_token_shows_as_401_or_as_a_login_page(crm: CrmServer, client: aiohttp.ClientSession) -> None:
    crm.set_faults(Faults(refuse_token=True))
    assert await status_of_create(client) == 401
    crm.set_faults(Faults(refuse_token=True, login_page=True))
    async with client.post("/deals", json=DEAL, headers=KEY) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert "password" in await answer.text()
    assert not crm.ledger.lines


async def test_a_held_request_has_its_effect_at_its_release(crm: CrmServer, client: aiohttp.ClientSession) -> None:
    crm.set_faults(always(Fault.HOLD_BEFORE_EFFECT))
    async with asyncio.TaskGroup() as tasks:
        held = tasks.create_task(status_of_create(client))
        async with client.get("/_gate/wait", params={"count": 1}) as answer:
            assert await answer.json() == {"waiting": 1}
        assert not crm.ledger.lines
        assert await status_of_create(client) == 409
        async with client.post("/_release") as answer:
            assert await answer.json() == {"released": 1}
    assert held.result() == 201
    assert len(crm.ledger.lines) == 1


async def test_a_request_held_after_its_effect_is_already_in_the_ledger(
    crm: CrmServer, client: aiohttp.ClientSession
) -> None:
    crm.set_faults(always(Fault.HOLD_AFTER_EFFECT))
    async with asyncio.TaskGroup() as tasks:
        held = tasks.create_task(status_of_create(client))
        await crm.gate.arrived(1)
        assert len(crm.ledger.lines) == 1
        assert not held.done()
        assert crm.gate.release() == 1
    assert held.result() == 201


async def test_a_held_request_has_its_effect_after_its_client_has_gone(
    crm: CrmServer, client: aiohttp.ClientSession
) -> None:
    crm.add_script(Script(order_ref="SO-00017", fault=Fault.HOLD_BEFORE_EFFECT, times=1))
    async with asyncio.TaskGroup() as tasks:
        abandoned = tasks.create_task(status_of_create(client))
        await crm.gate.arrived(1)
        abandoned.cancel()
    assert await status_of_create(client) == 409
    assert not crm.ledger.lines
    crm.gate.release()
    await crm.ledger.reached(1)
    async with client.post("/deals", json=DEAL, headers=KEY) as answer:
        assert answer.headers["Idempotency-Replayed"] == "true"
    assert len(crm.ledger.lines) == 1


async def test_a_held_request_has_no_effect_when_the_crm_stops(tmp_path: Path) -> None:
    authorization = {"Authorization": f"Bearer {DEFAULT_TOKEN}"}
    async with asyncio.TaskGroup() as tasks:
        held_faults = always(Fault.HOLD_BEFORE_EFFECT)
        async with CrmServer(ledger_path=tmp_path / "ledger.jsonl", faults=held_faults) as crm:
            session = aiohttp.ClientSession(crm.url, headers=authorization)
            held = tasks.create_task(status_of_create(session))
            await crm.gate.arrived(1)
        assert not crm.ledger.lines
        assert await held == 503
        await session.close()


@pytest.mark.parametrize("path", ["/_gate/wait", "/_ledger/wait"])
async def test_a_wait_has_a_bound(client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(path, params={"count": 1, "within_seconds": 0.01}) as answer:
        assert answer.status == 408


async def test_effects_can_be_waited_for(client: aiohttp.ClientSession) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(status_of_create(client))
        async with client.get("/_ledger/wait", params={"count": 1}) as answer:
            assert await answer.json() == {"effects": 1}


async def test_waits_end_when_the_crm_stops(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as tasks:
        async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as crm:
            waits = [tasks.create_task(is_closed(crm.gate.arrived(1)))]
            waits.append(tasks.create_task(is_closed(crm.ledger.reached(1))))
        assert [await wait for wait in waits] == [True, True]


async def test_a_script_hits_its_order_as_often_as_it_says(client: aiohttp.ClientSession) -> None:
    script = {"order_ref": "SO-00017", "fault": "error_500", "times": 2}
    async with client.post("/_faults/scripts", json=script) as answer:
        assert answer.status == 200
    other = {**DEAL, "external_ref": "SO-2"}
    async with client.post("/deals", json=other, headers={"Idempotency-Key": "k-2"}) as answer:
        assert answer.status == 201
    assert [await status_of_create(client) for _ in range(3)] == [500, 500, 201]


async def test_a_script_without_times_rejects_for_ever(crm: CrmServer, client: aiohttp.ClientSession) -> None:
    async with client.post("/_faults", json={"scripts": [{"order_ref": "SO-00017", "fault": "reject_422"}]}) as answer:
        assert answer.status == 200
    assert [await status_of_create(client) for _ in range(5)] == [422] * 5
    assert not crm.ledger.lines


async def test_lookups_meet_faults_only_when_asked_to(crm: CrmServer, client: aiohttp.ClientSession) -> None:
    for on_lookups, status in ((False, 200), (True, 503)):
        crm.set_faults(always(Fault.UNAVAILABLE_503, on_lookups=on_lookups))
        async with client.get("/deals", params={"external_ref": "SO-1"}) as answer:
            assert answer.status == status


@pytest.mark.parametrize(
    "wrong",
    [
        {"shares": {"error_500": 0.6, "slow": 0.6}},
        {"shares": {"error_501": 0.1}},
        {"share": {}},
        {"scripts": [{"order_ref": "SO-1", "fault": "slow", "times": 0}]},
    ],
)
async def test_wrong_fault_settings_are_refused_and_change_nothing(
    client: aiohttp.ClientSession, wrong: dict[str, object]
) -> None:
    async with client.post("/_faults", json=wrong) as answer:
        assert answer.status == 400
    async with client.get("/_faults") as answer:
        assert Faults.model_validate(await answer.json()) == Faults()


async def test_stats_count_what_was_met(crm: CrmServer, client: aiohttp.ClientSession) -> None:
    crm.set_faults(Faults(scripts=(Script(order_ref="SO-00017", fault=Fault.ERROR_500, times=1),)))
    assert [await status_of_create(client) for _ in range(3)] == [500, 201, 201]
    async with client.get("/_stats") as answer:
        assert await answer.json() == {
            "effects": 1,
            "waiting": 0,
            "counts": {"requests": 3, "replayed": 1},
            "faults": {"error_500": 1},
        }


async def test_a_lost_deal_is_gone_for_people_and_reports_and_a_later_one_is_there(
    crm: CrmServer, client: aiohttp.ClientSession
) -> None:
    async def shown() -> list[str]:
        async with client.get("/_deals") as answer:
            return [json.loads(line)["deal"] for line in (await answer.text()).splitlines()]

    async def reported() -> list[str]:
        window = {"from": "2000-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
        async with client.get("/reports/deals", params=window) as answer:
            return [deal["id"] for deal in (await answer.json())["deals"]]

    await status_of_create(client)
    assert (await shown(), await reported()) == (["D-000001"], ["D-000001"])
    async with client.post("/_lose", json={"order_ref": "SO-00017"}) as answer:
        assert await answer.json() == {"lost": ["D-000001"]}
    assert (await shown(), await reported(), len(crm.ledger.lines)) == ([], [], 1)
    await status_of_create(client, key="another")
    assert (await shown(), await reported()) == (["D-000002"], ["D-000002"])


def test_the_same_seed_picks_the_same_faults() -> None:
    faults = Faults(shares={Fault.ERROR_500: 0.1, Fault.SLOW: 0.2}, seed=7)
    first, second = FaultPlan(faults), FaultPlan(faults)
    picked = [first.pick("SO-1") for _ in range(1000)]
    assert picked == [second.pick("SO-1") for _ in range(1000)]
    assert 60 < picked.count(Fault.ERROR_500) < 140
    assert 150 < picked.count(Fault.SLOW) < 250
    assert picked.count(None) == 1000 - picked.count(Fault.ERROR_500) - picked.count(Fault.SLOW)
