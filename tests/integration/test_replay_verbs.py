"""`outbox replay` as a person uses it: shown first, then done, also when it is killed in the middle."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from outbox.model.errors import ExitCode
from sandbox.crm import CrmServer
from tests.kit.broker import Broker
from tests.kit.cli import Cli, one_flow
from tests.kit.database import Database
from tests.kit.running import FLOW, Integration, running
from tests.kit.waiting import until


@pytest.fixture
async def integration(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Integration]:
    async with CrmServer(ledger_path=tmp_path / "ledger.jsonl") as crm:
        yield Integration(database, broker, crm, tmp_path)


@pytest.fixture
def ours(cli: Cli, integration: Integration) -> Cli:
    ready = replace(cli, pg_url=integration.database.url, amqp_url=integration.broker.url)
    ready.settings(one_flow(integration.crm.url))
    return ready


async def _apply(integration: Integration, count: int) -> None:
    """Let everything that is there take effect."""
    async with running(integration.settings()):

        async def look() -> bool:
            return len(integration.effects()) == count

        await until(look, what=f"{count} effects")


async def test_it_shows_what_it_would_do_then_does_it_and_each_order_takes_effect_once_more(
    ours: Cli, integration: Integration
) -> None:
    for number in range(3):
        await integration.emit(f"SO-{number}", number + 1)
    await _apply(integration, 3)

    shown = await ours("replay", "--flow", FLOW)
    assert "order.confirmed" in shown.out
    assert "nothing was changed" in shown.out
    assert (await ours("replay", "--flow", FLOW, "--json")).json()["would_be_replayed"] == {"order.confirmed": 3}
    assert "--why is missing" in (await ours("replay", "--flow", FLOW, "--yes")).refusal(ExitCode.USAGE)
    assert FLOW in (await ours("replay", "--flow", "nobody")).refusal(ExitCode.USAGE)
    assert (await ours("replay", "list", "--json")).json() == []

    done = (await ours("replay", "--flow", FLOW, "--why", "the CRM lost them", "--yes", "--json")).json()
    assert (done["state"], done["replayed"]) == ("done", 3)
    await _apply(integration, 6)
    assert integration.effects() == ["SO-0", "SO-1", "SO-2"] * 2
    (entry,) = (await ours("replay", "list", "--json")).json()
    assert (entry["why"], entry["replayed"]) == ("the CRM lost them", 3)
    assert "the CRM lost them" in (await ours("replay", "list", COLUMNS="200")).out


async def test_killed_in_the_middle_it_is_resumed_and_nothing_is_replayed_twice(
    ours: Cli, integration: Integration
) -> None:
    for number in range(5):
        await integration.emit(f"SO-{number}", number + 1)
    await _apply(integration, 5)
    async with integration.database.connection() as blocker:
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute("select from inbox.lane for update")
        # The step that is cut off may still be carried out: it is not the last one.
        process = await ours.start("replay", "--flow", FLOW, "--why", "x", "--yes", "--rate", "4")

        async def is_in_a_step() -> object:
            return await integration.database.value(
                "select count(*) from pg_stat_activity where query like '%replay_some%' and wait_event_type = 'Lock'"
                " and datname = current_database()"
            )

        await until(is_in_a_step, what="it waits in the middle of a step")
        await process.kill()
        await transaction.rollback()
    (entry,) = (await ours("replay", "list", "--json")).json()
    assert entry["state"] == "running"
    refused = await ours("replay", "--flow", FLOW, "--why", "y", "--yes")
    assert "outbox replay resume" in refused.refusal(ExitCode.MISCONFIGURED)
    assert (await ours("replay", "resume", str(entry["id"]), "--json")).json()["replayed"] == 5
    await _apply(integration, 10)
    assert integration.effects() == [f"SO-{n}" for n in range(5)] * 2
