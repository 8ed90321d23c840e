"""Settings that change while a process works: each event takes effect once and in order, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit.broker import Broker
from tests.kit.database import Database
from tests.kit.reloads import IN_EFFECT, IS_GOOD, MAPPING, OTHER, REFUSED, Reloads, reloads_for
from tests.kit.site import FLOW, site_for
from tests.kit.waiting import until

PARTS = ("accept", "apply", "dead letters")


@pytest.fixture
async def reloads(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[Reloads]:
    async with site_for(database, broker, tmp_path) as site, reloads_for(site) as ready:
        yield ready


async def applied(reloads: Reloads, effects: int) -> None:
    """Wait until the other flow has had so many effects."""

    async def has_effects() -> bool:
        return len(reloads.other_crm.ledger.lines) >= effects

    await until(has_effects, what=f"{effects} effects")


async def test_a_flow_changes_under_load_and_the_other_one_never_notices(reloads: Reloads) -> None:
    await reloads.start()
    await reloads.begun()
    async with asyncio.TaskGroup() as group:
        group.create_task(reloads.site.confirm_orders(240, keys=12, writers=4, rate_per_s=60))
        await applied(reloads, 40)
        reloads.write(OTHER, mapping=MAPPING, rate_limit="500/s")
        told = await reloads.reload()
        before = set(reloads.bodies(reloads.other_crm))
        assert (told["added"], told["changed"], told["removed"]) == ([], [OTHER], [])
    await reloads.settle()

    assert [reloads.starts(f"{part} {FLOW}") for part in PARTS] == [1, 1, 1]
    assert [reloads.starts(f"{part} {OTHER}") for part in PARTS] == [2, 2, 2]
    assert [reloads.starts(service) for service in ("relay", "watch", "http")] == [1, 1, 1]
    (stopped,) = reloads.running().find("flow stopped")
    assert (stopped["flow"], stopped["is_drained"]) == (OTHER, True)
    same, mapped = reloads.bodies(reloads.site.crm), reloads.bodies(reloads.other_crm)
    assert len(same) == 240
    assert all(mapped[order] == same[order] for order in sorted(before)[:20])
    assert sum(mapped[order] != same[order] for order in same.keys() - before) >= 100
    assert await reloads.metric('outbox_config_reloads_total{result="applied"}') == 1


async def test_wrong_settings_are_refused_as_a_whole_until_they_are_right(reloads: Reloads) -> None:
    process = await reloads.start(check_every="50ms")
    first = (await reloads.status())[0]
    # The other file is right, and is not taken up either.
    reloads.write(FLOW, rate_limit="400/s")
    await process.logged(IN_EFFECT, changed=[FLOW])
    reloads.put(OTHER, json.dumps({"flows": {OTHER: reloads.flows[OTHER] | {"rate_limt": "1/s"}}}, indent=1))
    reloads.write(FLOW, rate_limit="300/s")
    told = await process.logged(REFUSED)
    assert f"flows/{OTHER}.yaml:" in told["reason"]
    assert "rate_limt: unknown key; did you mean 'rate_limit'?" in told["reason"]

    await reloads.site.confirm_orders(20, keys=4)
    await reloads.settle()
    assert await reloads.metric(IS_GOOD) == 0
    assert len(await reloads.notices()) == 1

    async def is_told() -> bool:
        (seen,) = await reloads.status()
        return seen["refusal"] == told["reason"] and seen["refused_age_seconds"] >= 0

    await until(is_told, what="status tells the refusal")
    shown = " ".join((await reloads.cli()("status", COLUMNS="200")).out.split())
    assert "newer settings are refused by" in shown
    assert "rate_limt: unknown key" in shown
    assert reloads.starts(f"apply {FLOW}") == 2

    since = process.mark()
    reloads.write(OTHER, rate_limit="200/s")
    right = await process.logged(IN_EFFECT, since=since)
    assert sorted(right["changed"]) == [FLOW, OTHER]
    await reloads.site.confirm_orders(20, keys=4)
    await reloads.settle()
    assert await reloads.metric(IS_GOOD) == 1
    assert await reloads.notices() == []

    async def is_well() -> bool:
        (seen,) = await reloads.status()
        return seen["refusal"] is None and seen["settings_hash"] == right["settings_hash"] != first["settings_hash"]

    await until(is_well, what="status tells that it is over")


async def test_what_only_a_restart_changes_is_named_and_nothing_of_it_taken_up(reloads: Reloads) -> None:
    process = await reloads.start()
    reloads.write(OTHER, rate_limit="100/s")
    reloads.put(
        "more", json.dumps({"retention": {"keep": "9d"}, "http": {"host": "127.0.0.2"}, "relay": {"source": "/x"}})
    )
    told = await reloads.reload(REFUSED)
    assert "restart needed: relay.source, retention.keep, http.host" in told["reason"]
    assert process.find("flow stopped") == []
    await reloads.site.confirm_orders(5)
    await reloads.settle()


async def test_a_reload_without_a_change_touches_nobody(reloads: Reloads) -> None:
    process = await reloads.start()
    reloads.write(OTHER)
    await reloads.reload("settings read again, nothing has changed")
    assert process.find("flow stopped") == []


async def test_flows_come_and_go_and_what_came_meanwhile_is_applied_in_order(reloads: Reloads) -> None:
    process = await reloads.start()
    await reloads.begun()
    await reloads.site.confirm_orders(10, keys=2)
    await reloads.settle()
    reloads.remove(OTHER)
    assert (await reloads.reload())["removed"] == [OTHER]
    assert "its queue goes on taking what comes" in process.find("flow removed", flow=OTHER)[0]["stays"]
    await reloads.site.confirm_orders(10, keys=2)
    await until(lambda: _in_queue(reloads, 10), what="the removed flow's queue keeps its events")

    reloads.write(OTHER)
    assert (await reloads.reload())["added"] == [OTHER]
    await reloads.settle()
    assert [reloads.starts(f"{part} {FLOW}") for part in PARTS] == [1, 1, 1]
    assert await reloads.metric(f'inbox_accepted_messages_total{{flow="{OTHER}"}}') == 20


async def _in_queue(reloads: Reloads, messages: int) -> bool:
    return await reloads.site.broker.depth(f"flow.{OTHER}") == messages


async def test_a_consumer_without_a_flow_left_goes_on_as_before(reloads: Reloads) -> None:
    await reloads.site.start("relay")
    await reloads.start("consume")
    reloads.remove(FLOW)
    reloads.remove(OTHER)
    reloads.put("none", "{}")
    told = await reloads.reload(REFUSED)
    assert "none is left" in told["reason"]
    for flow in (FLOW, OTHER):
        await reloads.site.subscribed(flow)
    await reloads.site.confirm_orders(5)
    await reloads.settle()


async def test_twenty_hangups_in_a_row_lose_and_repeat_nothing(reloads: Reloads) -> None:
    process = await reloads.start()
    await reloads.begun()
    async with asyncio.TaskGroup() as group:
        group.create_task(reloads.site.confirm_orders(150, keys=10, writers=4, rate_per_s=60))
        await applied(reloads, 10)
        for number in range(20):
            reloads.write(OTHER, rate_limit=f"{500 + number}/s")
            process.hang_up()
        await process.logged(IN_EFFECT, changed=[OTHER])
    await reloads.reload("settings read again, nothing has changed")
    await reloads.settle()
    assert [reloads.starts(f"{part} {FLOW}") for part in PARTS] == [1, 1, 1]
    assert len(process.find("flow stopped", flow=OTHER)) == len(process.find("flow started", flow=OTHER))
