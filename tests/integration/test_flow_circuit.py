"""A target that is away, refuses us or is slow: nothing is lost or called dead, and what piled up is applied gently."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import pytest

from outbox.model.circuit import CircuitState
from outbox.postgres.circuit import set_circuit
from sandbox.crm import CrmServer
from sandbox.crm_faults import Fault, Faults, Script
from tests.kit.broker import Broker
from tests.kit.database import Database
from tests.kit.running import FLOW, Integration, running
from tests.kit.waiting import until

_BACKLOG = 60


@pytest.fixture
async def integration(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Integration]:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as crm:
        yield Integration(database, broker, crm, tmp_path)


async def _emit(integration: Integration, prefix: str, count: int) -> list[str]:
    """Commit so many orders of different customers."""
    rows = await integration.database.rows(
        "select outbox.emit('order.confirmed', name, json_build_object('order_ref', name, 'customer', name,"
        " 'revision', 1, 'amount', '10.00'))::text as event_id"
        " from (select $1 || '-' || n as name from generate_series(0, $2::int - 1) n) named",
        prefix,
        count,
    )
    return [row["event_id"] for row in rows]


async def _openings(integration: Integration, count: int) -> None:
    async def look() -> bool:
        return (
            int(str(await integration.database.value("select coalesce(max(openings), 0) from inbox.circuit"))) >= count
        )

    await until(look, what=f"the circuit has opened {count} times")


async def _applied(integration: Integration, count: int) -> None:
    async def look() -> bool:
        return await integration.database.value("select count(*) from inbox.delivery where state = 'applied'") >= count

    await until(look, what=f"{count} deliveries are applied")


@pytest.mark.parametrize(
    "outage",
    [
        Faults(shares={Fault.ERROR_500: 1.0}),
        Faults(shares={Fault.UNAVAILABLE_503: 1.0}, retry_after_seconds=0),
        Faults(shares={Fault.DROP_BEFORE_EFFECT: 1.0}),
        Faults(shares={Fault.HTML_200: 1.0}),
        Faults(refuse_token=True),
    ],
    ids=["500", "503", "dropped", "maintenance page", "refused token"],
)
async def test_an_outage_longer_than_any_retry_budget_dead_letters_nothing(
    integration: Integration, outage: Faults
) -> None:
    """Ten openings are what a real outage of an hour makes at the default pauses; here they last milliseconds."""
    integration.crm.set_faults(outage)
    async with running(integration.settings(retry={"attempts": 4, "first": "10ms", "max": "20ms"})):
        await _emit(integration, "A", _BACKLOG)
        await _openings(integration, 10)
        (counted,) = await integration.database.rows(
            "select openings, (select count(*) from inbox.attempt) as calls,"
            " (select sum(failures) from inbox.delivery) as failures from inbox.circuit"
        )
        await _emit(integration, "B", 5)
        integration.crm.set_faults(Faults())
        await _applied(integration, _BACKLOG + 5)
    assert sorted(integration.effects()) == sorted([f"A-{n}" for n in range(_BACKLOG)] + [f"B-{n}" for n in range(5)])
    # What was under way when it opened, and a probe for each further opening.
    assert counted["calls"] <= 32 + counted["openings"]
    # Each opening but the first is a probe that has failed, and those cost nobody an attempt.
    assert counted["failures"] <= counted["calls"] - (counted["openings"] - 1)


async def test_what_is_new_does_not_wait_for_the_whole_backlog(integration: Integration) -> None:
    integration.crm.set_faults(Faults(refuse_token=True))
    async with running(integration.settings(flow={"rate_limit": "40/s"})):
        await _emit(integration, "old", 3 * _BACKLOG)
        await _openings(integration, 2)
        integration.crm.set_faults(Faults())
        await _applied(integration, 10)
        (event_id,) = await _emit(integration, "new", 1)
        await integration.in_state(event_id, "applied")
        waiting = await integration.database.value("select count(*) from inbox.delivery where state = 'ready'")
        await _applied(integration, 3 * _BACKLOG + 1)
    assert int(str(waiting)) > _BACKLOG, "it was applied behind the backlog"


async def test_the_processes_of_a_flow_keep_to_its_rate_together(integration: Integration) -> None:
    settings = integration.settings(flow={"rate_limit": "40/s"})
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(running(settings))
        await _split(integration)
        await _emit(integration, "A", _BACKLOG)
        await _applied(integration, _BACKLOG)
    times = sorted(datetime.fromisoformat(line.at) for line in integration.crm.ledger.lines)
    # A slower machine only takes longer. Each process may begin with a tenth of a second's worth.
    assert (times[-1] - times[0]).total_seconds() >= (_BACKLOG - 2 * 4) / 40 * 0.95


async def test_who_joins_gets_lanes_also_while_all_of_them_are_busy(integration: Integration) -> None:
    integration.crm.set_faults(Faults(latency_ms=150))
    settings = integration.settings()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(settings))
        await _emit(integration, "A", 500)
        await _applied(integration, 20)
        await stack.enter_async_context(running(settings))
        await _split(integration)
        waiting = await integration.database.value("select count(*) from inbox.delivery where state = 'ready'")
        integration.crm.set_faults(Faults())
        await _applied(integration, 500)
    assert int(str(waiting)) > 0, "the lanes were only given when there was nothing to do any more"


async def _split(integration: Integration) -> None:
    async def look() -> bool:
        rows = await integration.database.rows(
            "select count(*) from inbox.lane where flow = $1 and leased_until > now() group by owner", FLOW
        )
        return [row["count"] for row in rows] == [8, 8]

    await until(look, what="two processes hold eight lanes each")


async def test_a_poison_message_does_not_open_the_circuit_of_the_others(integration: Integration) -> None:
    """Beside others that work it has its number of tries: each of these shows that it is not the target."""
    integration.crm.add_script(Script(order_ref="bad-0", fault=Fault.ERROR_500))
    async with running(integration.settings(statuses={"500": "retry"})):
        (bad,) = await _emit(integration, "bad", 1)
        for number in range(1, 31):
            await _emit(integration, f"A{number}", 1)
            await _applied(integration, number)
            row = await integration.delivery(bad)
            if row is not None and row["state"] == "dead":
                break
    assert row is not None
    assert (row["state"], row["failures"]) == ("dead", 3)
    assert await integration.database.value("select openings from inbox.circuit") == 0


@pytest.mark.parametrize("statuses", [{}, {"500": "retry"}], ids=["in doubt", "tried again"])
async def test_an_outage_that_few_deliveries_meet_uses_up_none_of_them(
    integration: Integration, statuses: dict[str, str]
) -> None:
    """Four are too few for the circuit to open; at the default pauses 60 calls of each are more than four hours."""
    integration.crm.set_faults(Faults(shares={Fault.ERROR_500: 1.0}))
    retry = {"attempts": 8, "first": "1ms", "max": "20ms"}
    async with running(integration.settings(statuses=statuses, retry=retry)):
        await _emit(integration, "A", 4)

        async def have_all_failed() -> bool:
            return (
                int(str(await integration.database.value("select coalesce(min(attempt), 0) from inbox.delivery"))) >= 60
            )

        await until(have_all_failed, what="each has failed 60 times", within_seconds=60)
        parked = await integration.database.value(
            "select count(*) from inbox.delivery where state = 'dead' or (state = 'in_doubt' and due_at is null)"
        )
        assert (parked, await integration.database.value("select openings from inbox.circuit")) == (0, 0)
        integration.crm.set_faults(Faults())
        await _applied(integration, 4)
    assert sorted(integration.effects()) == [f"A-{n}" for n in range(4)]


async def test_a_message_that_fails_alone_counts_once_patience_is_over(integration: Integration) -> None:
    integration.crm.add_script(Script(order_ref="bad-0", fault=Fault.ERROR_500))
    retry = {"attempts": 3, "first": "10ms", "max": "20ms", "patience": "1s"}
    async with running(integration.settings(statuses={"500": "retry"}, retry=retry)):
        (bad,) = await _emit(integration, "bad", 1)
        row = await integration.in_state(bad, "dead")
    (seconds,) = await integration.database.rows(
        "select extract(epoch from max(began_at) - min(ended_at))::float8 as failing from inbox.attempt"
    )
    assert seconds["failing"] >= 1
    assert row["failures"] == 3
    assert row["attempt"] > 3


@pytest.mark.parametrize("ending", ["probe", "person"])
async def test_a_process_that_saw_no_trouble_begins_gently_too(integration: Integration, ending: str) -> None:
    integration.crm.set_faults(Faults(latency_ms=50))
    server = integration.database.server

    async def is_known() -> bool:
        return bool(await integration.database.value("select count(*) = 16 from inbox.lane where owner is not null"))

    async def are_taken() -> bool:
        return await integration.database.value("select count(*) from inbox.delivery") == _BACKLOG

    async with running(integration.settings()):
        await until(is_known, what="the lanes are held")
        await set_circuit(server, FLOW, CircuitState.OPEN, who="ann", why="the target is mended")
        await _emit(integration, "A", _BACKLOG)
        await until(are_taken, what="the backlog has come")
        if ending == "person":
            await set_circuit(server, FLOW, CircuitState.CLOSED, who="ann", why="it works again")
        else:
            async with integration.database.connection() as connection:
                await connection.execute("update inbox.circuit set until = now()")
        await _applied(integration, _BACKLOG)
    # Each call that went well allows one more.
    begun = await integration.database.rows(
        "select (select count(*) from inbox.attempt b where b.began_at < a.ended_at) as before_its_end"
        " from inbox.attempt a order by a.ended_at limit 2"
    )
    assert [row["before_its_end"] <= most for row, most in zip(begun, (1, 3), strict=True)] == [True, True], begun


async def test_above_the_mark_the_queue_keeps_what_comes_and_everything_takes_effect_in_order(
    integration: Integration,
) -> None:
    integration.crm.set_faults(Faults(refuse_token=True))
    settings = integration.settings(
        inbox={"lease": "3s", "poll": "10ms", "max_waiting": 50, "accept_batch": 10}, rabbitmq={"prefetch": 20}
    )
    async with running(settings):
        await _emit(integration, "A", 3 * _BACKLOG)

        async def is_kept() -> bool:
            taken = await integration.database.value("select count(*) from inbox.delivery")
            return int(str(taken)) >= 50 and await integration.broker.depth(f"flow.{FLOW}") > 0

        await until(is_kept, what="messages stay in the queue")
        taken = await integration.database.value("select count(*) from inbox.delivery")
        assert 50 <= int(str(taken)) <= 50 + 10 + 20
        integration.crm.set_faults(Faults())
        await _applied(integration, 3 * _BACKLOG)
    assert len(integration.effects()) == 3 * _BACKLOG


async def test_what_throttles_one_flow_throttles_the_other_of_its_connection(integration: Integration) -> None:
    integration.crm.set_faults(Faults(retry_after_seconds=3600))
    integration.crm.add_script(Script(order_ref="SO-1", fault=Fault.THROTTLE_429, times=1))
    async with running(integration.settings(also=("orders-to-archive",))):
        await integration.emit("SO-1")

        async def are_paused() -> bool:
            rows = await integration.database.rows(
                "select connection from inbox.circuit where throttled_until > now() + interval '59 minutes'"
            )
            return [row["connection"] for row in rows] == ["crm", "crm"]

        await until(are_paused, what="both flows leave the target alone")
